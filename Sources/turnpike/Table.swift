internal import CommandLine
internal import System

/// Prints a list: aligned below headings on a terminal; elsewhere a line for each row with tabs between the columns and
/// no heading, for scripts.
func printTable(_ headings: [String], _ rows: [[String]]) throws(Failure) {
  guard StandardStreams.isOutputTerminal else {
    if !rows.isEmpty { try print(rows.map { $0.joined(separator: "\t") }.joined(separator: "\n")) }
    return
  }
  let all = [headings] + rows
  let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
  let lines = all.map { row in
    zip(row, widths).dropLast().map { $0.padded(to: $1 + 2) }.joined()
      + (row.last ?? "")
  }
  try print(lines.joined(separator: "\n"))
}
