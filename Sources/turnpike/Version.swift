/// The version of the program, as `turnpike version` prints it.
let version = "0.1.0"
