// The camera: frames of the video element, one after the other, until it is stopped.

import { Problem } from "./classifier.js";

const REASONS = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser's settings, or choose pictures.",
  NotFoundError: "There is no camera on this device. Choose pictures instead.",
  NotReadableError: "The camera is in use by another program.",
};

export class Camera {
  constructor(video) {
    this.video = video;
    this.facing = "environment"; // the one on the back of a phone
  }

  get on() {
    return Boolean(this.video.srcObject);
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Problem("The camera needs a page that was loaded by https or from localhost. Choose pictures instead.");
    }
    this.stop();
    try {
      this.video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: this.facing }, audio: false });
    } catch (error) {
      throw new Problem(REASONS[error.name] ?? `The camera can't be used: ${error.message}`);
    }
    await this.video.play();
  }

  async turn() {
    this.facing = this.facing === "environment" ? "user" : "environment";
    await this.start();
  }

  stop() {
    this.video.srcObject?.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
  }

  // Calls `look` with the video for each frame that there is time for.
  async watch(look) {
    while (this.on) {
      if (this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) look(this.video);
      await new Promise((resolve) => { requestAnimationFrame(resolve); });
    }
  }
}
