internal import ClientIO
internal import LoadGeneration

/// Why nothing was measured.
struct Failure {
  var message: String
  /// One likely cause in words; nil where none is known.
  var likelyCause: String?

  init(_ failure: CheckFailure) {
    message = failure.message
    likelyCause = failure.advice
  }

  init(_ error: LoadError) {
    message = error.description
    likelyCause = error.likelyCause
  }
}
