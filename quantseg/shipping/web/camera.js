// Frames of a camera, one after another, as fast as they are used up.

/** Why there is no camera, in words. */
function reason(error) {
  if (error.name === 'NotAllowedError') {
    return 'The camera was not allowed; allow it in the browser’s address bar, or choose a picture.';
  }
  if (error.name === 'NotFoundError' || error.name === 'OverconstrainedError') {
    return 'No camera was found; choose a picture instead.';
  }
  if (error.name === 'NotReadableError') return 'The camera is in use by another program; close that, and try again.';
  return `The camera cannot be used (${error.message || error.name}); choose a picture instead.`;
}

export class Camera {
  /** Opens a camera. facing: environment (away from the reader) or user. Rejects with a reason in words. */
  static async open(facing) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error('The camera works only over https or from localhost; choose a picture instead.');
    }
    let stream;
    try {
      const video = { facingMode: { ideal: facing }, width: { ideal: 640 }, height: { ideal: 480 } };
      stream = await navigator.mediaDevices.getUserMedia({ audio: false, video });
    } catch (error) {
      throw new Error(reason(error));
    }
    const video = document.createElement('video');
    Object.assign(video, { muted: true, playsInline: true, srcObject: stream });
    await video.play();
    return new Camera(stream, video);
  }

  constructor(stream, video) {
    this.stream = stream;
    this.video = video;
    this.isOpen = true;
    stream.getVideoTracks().forEach((track) => track.addEventListener('ended', () => { this.isOpen = false; }));
  }

  /** Whether there are several cameras to turn to. */
  static async areSeveral() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter(({ kind }) => kind === 'videoinput').length > 1;
  }

  /** The next frame, an ImageBitmap. */
  async frame() {
    while (this.isOpen && this.video.readyState < 2) {
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
    return this.isOpen ? createImageBitmap(this.video) : null;
  }

  close() {
    this.isOpen = false;
    this.stream.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
  }
}
