// The kinds of calls: the systems that most WebRTC tutorials build.

export const modes = {
  broadcast: {
    title: "One-way: one sends, any number watch",
    text: "A recorder sends its camera and microphone to everyone who watches, with an offer of its own for each, also "
      + "for those who come later. Watchers send nothing but their candidates.",
    roles: ["star", "fan"], start: "Send", panels: ["people", "numbers", "learn"],
  },
  call: {
    title: "A call of two",
    text: "Two people see and hear each other. A heartbeat shows that the other side is alive; when it vanishes, the "
      + "page waits for it, and looks for a new path (ICE restart).",
    roles: ["caller"], start: "Join the call", panels: ["numbers", "learn"],
  },
  data: {
    title: "Data: chat and files",
    text: "Media and a data channel with chat and files, whose checksums are compared. With your own iceServers, if "
      + "you paste them below: any STUN and TURN server can be tried here.",
    roles: ["caller"], start: "Join", panels: ["chat", "file", "servers", "numbers", "learn"],
  },
  capture: {
    title: "Candidates, capture and recording",
    text: "The candidates that this browser finds, over ports 3478 and 5349; the screen with its sound; and a "
      + "recording of what you send or receive, to download.",
    roles: ["caller"], start: "Join", panels: ["record", "candidates", "numbers", "learn"],
  },
  live: {
    title: "A live page: one star, many fans",
    text: "A star is seen by all fans who open the link, whenever they come. Everyone writes to everyone through the "
      + "room.",
    roles: ["star", "fan"], start: "Go live", panels: ["people", "chat", "numbers", "learn"],
  },
};
