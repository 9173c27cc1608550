// Package crashes lets real processes die at each point that package crash
// names, in the middle of a small sale, and audits what everybody was told.
//
// Purpose: what the simulator shows of the logic, shown once of the program:
// another process goes on from every instant at which one can die.
package crashes
