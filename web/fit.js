/* Centre crop and resize, as the library's `fit_image` does them with Pillow.
 *
 * A canvas would scale pictures too, but each browser does it in its own way, and most take pixels
 * from too small a neighbourhood when they shrink a photograph a hundred times: the network would
 * see other edges than in training. So this is Pillow's bicubic filter, written out: a weighted
 * mean along each row, rounded to 8 bits, then the same along each column. (Pillow begins with the
 * columns where a picture is a hundred times as high as wide. This does not.) */

const A = -0.5; // the slope that Pillow's cubic takes
const SUPPORT = 2; // pixels to each side that the cubic reaches, at scale 1
const STRIP = 256; // rows that are read at a time: a photograph of 50 megapixels needs 200 MB

const cubic = (x) => {
  x = Math.abs(x);
  if (x < 1) return ((A + 2) * x - (A + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * A;
  return 0;
};

/** The largest centred box of the output's shape, in pixels of the input; its edges may be fractions. */
export function centreBox(width, height, outWidth, outHeight) {
  const ratio = outWidth / outHeight;
  const isWide = width / height >= ratio;
  const boxWidth = isWide ? ratio * height : width;
  const boxHeight = isWide ? height : width / ratio;
  return {
    left: (width - boxWidth) / 2,
    top: (height - boxHeight) / 2,
    width: boxWidth,
    height: boxHeight,
  };
}

/** For each of `outSize` pixels, the first input pixel that it is a mean of, and the weights.
 *
 * The filter is stretched by the factor by which the picture shrinks, so that every pixel counts. */
function taps(size, start, length, outSize) {
  const scale = length / outSize;
  const stretch = Math.max(scale, 1);
  return Array.from({ length: outSize }, (_, k) => {
    const centre = start + (k + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - SUPPORT * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(centre + SUPPORT * stretch + 0.5), size);
    const weights = Array.from({ length: end - first }, (_, j) =>
      cubic((first + j - centre + 0.5) / stretch),
    );
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, end, weights: weights.map((weight) => weight / sum) };
  });
}

/** A picture of any size as the network sees it.
 *
 * `read(left, top, width, height)` gives RGBA bytes of a part of the picture, as `ImageData.data`.
 * Returns RGB bytes, `outHeight` rows of `outWidth` pixels. */
export function fit(read, width, height, outWidth, outHeight) {
  const box = centreBox(width, height, outWidth, outHeight);
  const columns = taps(width, box.left, box.width, outWidth);
  const rows = taps(height, box.top, box.height, outHeight);
  const left = columns[0].first;
  const readWidth = columns.at(-1).end - left;
  const [top, bottom] = [rows[0].first, rows.at(-1).end];

  // These arrays round what they are given to the nearest of 0..255, as Pillow does in between.
  const narrow = new Uint8ClampedArray((bottom - top) * outWidth * 3);
  for (let y = top; y < bottom; y += STRIP) {
    const count = Math.min(STRIP, bottom - y);
    const rgba = read(left, y, readWidth, count);
    let to = (y - top) * outWidth * 3;
    for (let row = 0; row < count; row += 1) {
      for (const { first, weights } of columns) {
        let from = 4 * (row * readWidth + first - left);
        let [r, g, b] = [0, 0, 0];
        for (const weight of weights) {
          r += weight * rgba[from];
          g += weight * rgba[from + 1];
          b += weight * rgba[from + 2];
          from += 4;
        }
        narrow[to++] = r;
        narrow[to++] = g;
        narrow[to++] = b;
      }
    }
  }

  const stride = outWidth * 3;
  const fitted = new Uint8ClampedArray(outHeight * stride);
  rows.forEach(({ first, weights }, row) => {
    for (let k = 0; k < stride; k += 1) {
      let sum = 0;
      weights.forEach((weight, j) => (sum += weight * narrow[(first - top + j) * stride + k]));
      fitted[row * stride + k] = sum;
    }
  });
  return fitted;
}
