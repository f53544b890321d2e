// The camera: frames of the video element, one after the other, until it is stopped.

import { Problem } from "./classifier.js";

const REASONS = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser's settings, or choose pictures.",
  NotFoundError: "There is no camera on this device. Choose pictures instead.",
  NotReadableError: "The camera is in use by another program.",
};

const end = (stream) => stream?.getTracks().forEach((track) => track.stop());

const cameras = async () => (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");

export class Camera {
  constructor(video) {
    this.video = video;
    this.facing = "environment"; // the one on the back of a phone
    this.asked = null; // what the newest `start` waits for or got
  }

  // Opens the camera; true if it is open then. People may think long about the permission, and a `stop` meanwhile counts.
  async start(wanted = { facingMode: this.facing }) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Problem("The camera needs a page that was loaded by https or from localhost. Choose pictures instead.");
    }
    this.stop();
    const asked = navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    this.asked = asked;
    let stream;
    try {
      stream = await asked;
    } catch (error) {
      if (this.asked !== asked) return false;
      throw new Problem(REASONS[error.name] ?? `The camera can't be used: ${error.message}`);
    }
    if (this.asked === asked) this.video.srcObject = stream;
    else end(stream);
    return this.asked === asked;
  }

  // Front and back change places; where cameras don't say which they are, the next one in the list has its turn.
  async turn() {
    const before = this.device();
    this.facing = this.facing === "environment" ? "user" : "environment";
    if (!await this.start()) return false;
    if (this.device() !== before) return true;
    const devices = (await cameras()).map((camera) => camera.deviceId);
    if (this.device() !== before) return false; // stopped meanwhile
    return this.start({ deviceId: { exact: devices[(devices.indexOf(before) + 1) % devices.length] } });
  }

  device() {
    return this.video.srcObject?.getVideoTracks()[0].getSettings().deviceId;
  }

  stop() {
    end(this.video.srcObject);
    this.video.srcObject = null;
    this.asked = null;
  }

  // Calls `look` with the video for each frame that there is time for, until this stream is stopped or another begins.
  async watch(look) {
    const stream = this.video.srcObject;
    while (stream && this.video.srcObject === stream) {
      if (!stream.active) throw new Problem("The camera has been taken away.");
      if (this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) look(this.video);
      await new Promise((resolve) => { requestAnimationFrame(resolve); });
    }
  }

  async hasOthers() {
    return (await cameras()).length > 1;
  }
}
