"""Write a market's events for backtesters: NautilusTrader, hftbacktest, Tardis' CSV, and plain CSV.

In: a lake, markets and a period. Out: files in a folder, with the YES book, its resets at holes, and the trades.
Read events.py first: it puts everything in order. The other files write the events, one format each.
"""
