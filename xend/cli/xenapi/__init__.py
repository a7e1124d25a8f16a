"""xm with a server of the type Xen-API in xm-config.xml: a xend of Xen 3.1 to 4.4.

Commands call the methods that they call of any daemon; `methods` does what each of them means by
calls of the Xen-API.  What that cannot express has a handler in `commands`.  Nothing here is
imported while xm speaks to anything else.
"""
