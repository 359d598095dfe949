"""The groceries story: an accurate classifier of real products whose decisions rest on the product.

``photos`` draws the pictures, ``classifier`` trains the network; the other modules are steps of ``photos``.
"""
