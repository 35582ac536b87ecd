/// The line, counted from 1, of the first byte that is not UTF-8; nil if there is none.
func firstLineThatIsNoUTF8(_ bytes: [UInt8]) -> Int? {
  if String(validating: bytes, as: UTF8.self) != nil { return nil }
  var parser = Unicode.UTF8.ForwardParser()
  var iterator = bytes.makeIterator()
  var line = 1
  while true {
    switch parser.parseScalar(from: &iterator) {
    case .valid(let character): if character.count == 1, character.first == UInt8(ascii: "\n") { line += 1 }
    case .error: return line
    case .emptyInput: return nil
    }
  }
}
