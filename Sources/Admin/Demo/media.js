// The sources of sound and pictures: camera and microphone, the screen, or a test picture that needs no device.

/** Whether this page may use camera, microphone and screen: browsers allow it over HTTPS and on localhost. */
export const mayCapture = () => window.isSecureContext && !!navigator.mediaDevices;

/** The devices of this computer. Firefox gives the list only to a window that has the focus, so this may take long. */
export const devices = async () => (mayCapture() ? navigator.mediaDevices.enumerateDevices() : []);

/** The options of the list of sources: each camera, then sources without a device. Without a list, any camera. */
export function sources(list) {
  const options = [];
  if (mayCapture()) {
    const cameras = list?.filter((device) => device.kind === "videoinput") ?? [{ deviceId: "", label: "Camera" }];
    options.push(...cameras.map((device, index) => ({
      value: `camera:${device.deviceId}`, text: device.label || `Camera ${index + 1}`,
    })));
    if (!cameras.length) options.push({ value: "microphone", text: "Microphone only" });
    if (navigator.mediaDevices.getDisplayMedia) options.push({ value: "screen", text: "Screen, with its sound" });
  }
  options.push({ value: "test", text: "Test picture and tone" });
  return options;
}

export function microphones(list) {
  return list.filter((device) => device.kind === "audioinput")
    .map((device, index) => ({ value: device.deviceId, text: device.label || `Microphone ${index + 1}` }));
}

/** Opens a stream of the chosen source; `microphone` is the id of a device, or empty for any. */
export async function open(source, microphone) {
  if (source === "test") return testPicture();
  if (!mayCapture()) throw new Error("this page may not use a camera: open it over HTTPS or on localhost");
  if (source === "screen") {
    return navigator.mediaDevices.getDisplayMedia({ video: { frameRate: 15 }, audio: true });
  }
  const audio = microphone ? { deviceId: microphone } : true;
  const id = source.startsWith("camera:") ? source.slice(7) : "";
  const size = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 24 } };
  const video = source === "microphone" ? false : id ? { ...size, deviceId: id } : size;
  return navigator.mediaDevices.getUserMedia({ audio, video });
}

/** The explanation of an error, as a sentence. */
export function explain(error) {
  switch (error.name) {
    case "NotAllowedError": return "The browser may not use the device. Allow it in the address bar, and try again.";
    case "NotFoundError": return "There is no such device. The test picture needs none.";
    case "NotReadableError": return "Another program uses the device.";
    default: return error.message || String(error);
  }
}

/** A moving picture with the time, and a soft tone. */
export function testPicture() {
  const canvas = document.createElement("canvas");
  canvas.width = 480;
  canvas.height = 270;
  const pen = canvas.getContext("2d");
  const begin = performance.now();
  const draw = () => {
    const seconds = (performance.now() - begin) / 1000;
    const hue = (seconds * 20) % 360;
    pen.fillStyle = `hsl(${hue} 60% 30%)`;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    for (let index = 0; index < 8; index += 1) {
      pen.fillStyle = `hsl(${index * 45} 80% 60%)`;
      pen.fillRect(index * 60, 200, 60, 70);
    }
    const x = 240 + 180 * Math.sin(seconds * 1.7);
    pen.fillStyle = "white";
    pen.beginPath();
    pen.arc(x, 150, 22, 0, 7);
    pen.fill();
    pen.font = "600 46px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.fillText(new Date().toLocaleTimeString(), 240, 80);
  };
  draw();
  const timer = setInterval(draw, 50);
  const stream = canvas.captureStream(20);
  const context = new AudioContext();
  const tone = context.createOscillator();
  const gain = context.createGain();
  const output = context.createMediaStreamDestination();
  tone.frequency.value = 330;
  gain.gain.value = 0.03;
  tone.connect(gain).connect(output);
  tone.start();
  stream.addTrack(output.stream.getAudioTracks()[0]);
  const picture = stream.getVideoTracks()[0];
  const stop = picture.stop.bind(picture);
  picture.stop = () => {
    clearInterval(timer);
    context.close();
    stop();
  };
  return stream;
}

export function close(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
