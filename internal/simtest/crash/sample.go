package crash

// Point is the n-th call, from 1, of a scenario.
type Point struct{ Scenario, N int }

// Sample returns n of all points, evenly over the scenarios that have so many
// calls each; all of them if n is 0 or more than there are.
func Sample(calls []int, n int) []Point {
	var all []Point
	for scenario, count := range calls {
		for k := 1; k <= count; k++ {
			all = append(all, Point{scenario, k})
		}
	}
	if n <= 0 || n >= len(all) {
		return all
	}
	some := make([]Point, n)
	for i := range some {
		// The middle of the i-th of n equal parts.
		some[i] = all[(2*i+1)*len(all)/(2*n)]
	}
	return some
}
