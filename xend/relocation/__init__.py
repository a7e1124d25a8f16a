"""The wire between two xends: connections and their greetings.

A connection begins as the original's did, with one word and an answer in SXP, so that each side
knows at once whom it talks to.  The original's own word `receive` announces a stream that today's
Xen cannot read; ours are `receive.libxl` and `outcome.libxl`, which an old xend refuses as an
"Invalid operation".  Then come messages: one JSON object a line.
"""
