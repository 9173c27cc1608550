# Under version 1 engine time is the maximum of the stream's timestamps: it never runs back,
# and an expiry at the very instant still counts as in time.
sale stock=5 limit=5 first=1 rules=1
pack at=50: ann buys 1 with A until 50
  1 A ann item 1: granted at 50
  facts: owner 1=A
pack at=40: ann buys 2 with B until 49
  2 B ann item 2: code-expired at 50
pack at=40: ann buys 2 with C until 50
  3 C ann item 2: granted at 50
  facts: owner 2=C
pack at=51: ann buys 3 with D until 50
  4 D ann item 3: code-expired at 51
