# A bad request takes a position, is refused alone and harms nobody else.
sale stock=2 limit=1 first=1 rules=1
pack at=10: ?, ann buys 1 with A until 99, ?, bob buys 2 with B until 99
  1 ?  item 0: malformed at 10
  2 A ann item 1: granted at 10
  3 ?  item 0: malformed at 10
  4 B bob item 2: granted at 10
  facts: owner 1=A, owner 2=B, at limit ann=A, at limit bob=B, sold out
pack at=11: ?
  5 ?  item 0: malformed at 11
