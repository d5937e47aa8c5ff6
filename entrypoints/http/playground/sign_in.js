// The link that `serve` prints (/#sign-in=…) becomes a pass for some hours; its token leaves the address bar at once.
import { announce } from "./announce.js";
import { keepKey } from "./key.js";

const MARK = "#sign-in=";

/** Resolves to whether somebody came by a link that works. */
export async function signedIn() {
  if (!location.hash.startsWith(MARK)) return false;
  const token = decodeURIComponent(location.hash.slice(MARK.length));
  history.replaceState(null, "", location.pathname);
  const response = await fetch("/playground/sign-in", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  }).catch(() => null);
  if (!response?.ok) {
    announce("This sign-in link was used already or is over. Restart the service for a new one, or enter a key.");
    return false;
  }
  keepKey((await response.json()).pagePass, { remember: false });
  return true;
}
