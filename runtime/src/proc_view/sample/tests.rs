//! On a stand-in of ordinary files below a real cgroup2 mount's place: the arithmetic is tested beside the figures, this is
//! about which files are read.

use super::*;

#[test]
fn the_total_of_a_pressure_file_is_that_of_its_first_line() {
    let text =
        "some avg10=0.12 avg60=1.50 avg300=99.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
    assert_eq!(some_total_usec(text), 123);
    assert_eq!(some_total_usec(""), 0);
}
