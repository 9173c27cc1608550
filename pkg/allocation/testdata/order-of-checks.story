# Each request is refused by the first check that holds, in the documented order.
sale stock=3 limit=1 first=1 rules=1
pack at=10: ann buys 1 with A until 99
  1 A ann item 1: granted at 10
  facts: owner 1=A, at limit ann=A
# limit before item taken; expired before limit; malformed before expired
pack at=11: ann buys 1 with B until 99, ann buys 1 with C until 10, ann buys 4 with D until 10
  2 B ann item 1: limit-reached at 11
  3 C ann item 1: code-expired at 11
  4 D ann item 4: malformed at 11
  facts: owner 1=A, owner 1=A, at limit ann=A
pack at=12: bob buys 1 with E until 99, bob buys 2 with F until 99
  5 E bob item 1: item-taken at 12
  6 F bob item 2: granted at 12
  facts: owner 1=A, owner 2=F, at limit bob=F
pack at=13: cid buys 3 with G until 99
  7 G cid item 3: granted at 13
  facts: owner 3=G, at limit cid=G, sold out
# sold out before limit and item taken; expired before sold out
pack at=14: ann buys 2 with H until 99, dan buys 1 with I until 99, dan buys 1 with J until 13
  8 H ann item 2: sold-out at 14
  9 I dan item 1: sold-out at 14
  10 J dan item 1: code-expired at 14
  facts: owner 2=F, owner 1=A, owner 1=A, sold out
# malformed before sold out
pack at=15: dan buys 0 with K until 99, dan buys 4 with L until 99
  11 K dan item 0: malformed at 15
  12 L dan item 4: malformed at 15
  facts: sold out
