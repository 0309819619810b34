/* A file that somebody chose, to pixels; or an error whose message a person can act on.
 *
 * It takes the formats that the library takes, by what the file holds and not by its name. */

import { centreBox, fit } from "./fit.js";

export const MOST_BYTES = 25e6;
export const MOST_PIXELS = 50e6;

const FORMATS = {
  JPEG: /^\xff\xd8\xff/,
  PNG: /^\x89PNG\r\n\x1a\n/,
  GIF: /^GIF8[79]a/,
  BMP: /^BM/,
  WebP: /^RIFF[^]{4}WEBP/,
};

/** What is wrong with a file, in words for whoever chose it. */
export class PictureError extends Error {}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

async function formatOf(file) {
  if (!file.size) throw new PictureError(`${file.name} is empty.`);
  if (file.size > MOST_BYTES) {
    throw new PictureError(
      `${file.name} has ${megabytes(file.size)}; this page takes up to ${megabytes(MOST_BYTES)}. ` +
        "Save it smaller.",
    );
  }
  const head = new Uint8Array(await file.slice(0, 12).arrayBuffer());
  const text = String.fromCharCode(...head);
  const format = Object.keys(FORMATS).find((name) => FORMATS[name].test(text));
  if (!format) {
    throw new PictureError(
      `${file.name} is not a JPEG, PNG, GIF, BMP or WebP picture, whatever its name says. ` +
        "Save it as JPEG or PNG.",
    );
  }
  return format;
}

/** Width and height, for which browsers need not decode the pixels. */
async function sizeOf(file) {
  const address = URL.createObjectURL(file);
  const image = new Image();
  try {
    await new Promise((resolve, reject) => {
      image.onload = resolve;
      image.onerror = reject;
      image.src = address;
    });
    return [image.naturalWidth, image.naturalHeight];
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** The decoded picture, upright, as an `ImageBitmap`; of an animation, the first frame. */
export async function decode(file) {
  const format = await formatOf(file);
  try {
    const [width, height] = await sizeOf(file);
    if (width * height > MOST_PIXELS) {
      throw new PictureError(
        `${file.name} has ${width} × ${height} pixels; this page takes up to ` +
          `${MOST_PIXELS / 1e6} million. Save it smaller.`,
      );
    }
    // Colours as they are in the file: Pillow, with which the network was trained, converts none.
    return await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch (error) {
    if (error instanceof PictureError) throw error;
    throw new PictureError(`${file.name} is a damaged ${format} file and cannot be read.`);
  }
}

/** RGB bytes of the picture's centre, `outHeight` × `outWidth`, transparency laid on white. */
export function pixelsOf(bitmap, outWidth, outHeight) {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const read = (left, top, width, height) => {
    canvas.width = width; // also clears it
    canvas.height = height;
    context.fillStyle = "white";
    context.fillRect(0, 0, width, height);
    context.drawImage(bitmap, -left, -top);
    return context.getImageData(0, 0, width, height).data;
  };
  return fit(read, bitmap.width, bitmap.height, outWidth, outHeight);
}

/** Draws the picture into a canvas of at most `side` pixels, dimmed where the network looks away. */
export function drawWhole(bitmap, canvas, side, outWidth, outHeight) {
  const scale = side / Math.max(bitmap.width, bitmap.height);
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.imageSmoothingEnabled = scale < 1;
  const paint = () => {
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  };
  paint();
  context.fillStyle = "rgb(0 0 0 / 60%)";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const box = centreBox(canvas.width, canvas.height, outWidth, outHeight);
  context.beginPath();
  context.rect(box.left, box.top, box.width, box.height);
  context.clip();
  paint();
}

/** Draws what the network sees, one canvas pixel for each of its pixels. */
export function drawSeen(rgb, canvas, width, height) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let from = 0, to = 0; from < rgb.length; to += 4) {
    image.data.set([rgb[from++], rgb[from++], rgb[from++], 255], to);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
