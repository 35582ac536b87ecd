// Recording with MediaRecorder: of what this page sends or of what it receives.

const types = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4", "audio/webm", ""];
/** Limit of a recording in bytes, because it is kept in memory. */
const sizeLimit = 256 << 20;

export class Recorder extends EventTarget {
  get isRunning() { return this.recorder?.state === "recording"; }

  start(stream) {
    if (!window.MediaRecorder) throw new Error("this browser has no MediaRecorder");
    if (!stream?.getTracks().length) throw new Error("there is nothing to record yet");
    const mimeType = types.find((type) => !type || MediaRecorder.isTypeSupported(type));
    // A stream of its own, so that the recording ends with the tracks and not with the stream that holds them.
    const recorder = new MediaRecorder(new MediaStream(stream.getTracks()), mimeType ? { mimeType } : {});
    const parts = [];
    let size = 0;
    const begin = performance.now();
    recorder.ondataavailable = ({ data }) => {
      if (!data.size) return;
      parts.push(data);
      size += data.size;
      if (size > sizeLimit && recorder.state === "recording") recorder.stop();
      this.tell("progress", { size, seconds: (performance.now() - begin) / 1000 });
    };
    recorder.onerror = (event) => this.tell("problem", { text: event.error?.message || "the recording failed" });
    recorder.onstop = () => {
      const type = recorder.mimeType.split(";")[0] || "video/webm";
      this.tell("ready", { blob: new Blob(parts, { type }), extension: type.endsWith("mp4") ? "mp4" : "webm" });
    };
    recorder.start(1000);
    this.recorder = recorder;
  }

  stop() {
    if (this.isRunning) this.recorder.stop();
  }

  tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }
}
