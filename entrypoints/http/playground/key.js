// The API key: kept for this tab, or for this browser when asked to; shown to nobody, put into no URL.
const NAME = "tryon-api-key";

export const currentKey = () => sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME) ?? "";

export function keepKey(key, { remember }) {
  forgetKey();
  (remember ? localStorage : sessionStorage).setItem(NAME, key);
}

export function forgetKey() {
  sessionStorage.removeItem(NAME);
  localStorage.removeItem(NAME);
}

/** Enough to tell two keys apart. */
export const shownKey = (key) => (key.length > 12 ? `${key.slice(0, 6)}…${key.slice(-3)}` : "gk_…");
