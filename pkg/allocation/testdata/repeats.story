# The first decision of a code wins, for ever; a repeat takes a position of its own.
sale stock=2 limit=2 first=101 rules=1
pack at=10: ann buys 101 with A until 20, ann buys 101 with A until 20
  1 A ann item 101: granted at 10
  1 A ann item 101: granted at 10
  facts: owner 101=A
pack at=11: bob buys 101 with B until 20
  3 B bob item 101: item-taken at 11
  facts: owner 101=A
# after sold-out and after the expiry the granted code still gets its grant
pack at=12: bob buys 102 with C until 20
  4 C bob item 102: granted at 12
  facts: owner 102=C, sold out
pack at=99: ann buys 101 with A until 20, bob buys 101 with B until 20, eve buys 101 with X until 200
  1 A ann item 101: granted at 10 (recorded)
  3 B bob item 101: item-taken at 11 (recorded)
  7 X eve item 101: sold-out at 99
  facts: owner 101=A, owner 101=A, sold out
pack at=100: eve buys 101 with X until 200
  7 X eve item 101: sold-out at 99 (recorded)
  facts: owner 101=A, sold out
