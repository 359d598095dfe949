"""Attribution methods: one file each, entered in one registry."""
