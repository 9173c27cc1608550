# From version 2 on a pack is decided at its own timestamp: one that was stamped
# ahead expires its own codes, and no later one's.
sale stock=5 limit=5 first=1 rules=2
pack at=50: ann buys 1 with A until 50
  1 A ann item 1: granted at 50
  facts: owner 1=A
pack at=40: ann buys 2 with B until 49
  2 B ann item 2: granted at 40
  facts: owner 2=B
pack at=40: ann buys 2 with C until 50
  3 C ann item 2: item-taken at 40
  facts: owner 2=B
pack at=51: ann buys 3 with D until 50
  4 D ann item 3: code-expired at 51
pack at=999: ann buys 4 with E until 60
  5 E ann item 4: code-expired at 999
pack at=52: ann buys 4 with F until 60
  6 F ann item 4: granted at 52
  facts: owner 4=F
