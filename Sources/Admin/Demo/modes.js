// The kinds of calls: the systems that most WebRTC tutorials build.

export const modes = {
  broadcast: {
    title: "One-way: one sends, any number watch",
    text: "One member sends camera and microphone to everyone who watches, with a separate offer for each watcher, "
      + "also for those who come later. Watchers send only their session descriptions and candidates.",
    roles: ["star", "fan"], start: "Send", panels: ["people", "numbers", "learn"],
  },
  call: {
    title: "A call of two",
    text: "Two people see and hear each other. A heartbeat shows that the other side is alive; when it is lost, the "
      + "page waits for it, and looks for a new path (ICE restart).",
    roles: ["caller"], start: "Join the call", panels: ["numbers", "learn"],
  },
  data: {
    title: "Data: chat and files",
    text: "Media and a data channel with chat and files, whose checksums are compared. You can try any STUN and TURN "
      + "server here: paste its iceServers below.",
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
