// What was noticed in a photo, in plain words, and what to do about it.
const ADVICE = {
  NO_PERSON_DETECTED: ["Nobody was found", "Use a photo of one person, from the hips up or more."],
  MULTIPLE_PEOPLE: ["Several people are in the photo", "The largest one was framed. Use a photo of one person."],
  HEAD_CUT_OFF: ["The head is cut off in the photo", "Step back, or hold the camera higher."],
  BODY_CUT_OFF: ["The body is cut off in the photo", "Step back until shoulders and hips are in."],
  BODY_CUT_BY_CROP: ["Part of the body is outside the 4:5 picture", "Use “4:5, keep the whole person” (fit=pad), or step back."],
  PERSON_TOO_SMALL: ["The person is small", "Step closer."],
  LOW_RESOLUTION: ["The photo has few pixels", "Send the original, not a screenshot or a chat app's copy."],
  BLURRY: ["The photo is blurred", "Hold still, or wipe the lens."],
  TOO_DARK: ["The person is dark", "More light, from the front."],
  TOO_BRIGHT: ["The person is overexposed", "Less light, or turn away from the lamp."],
  NOT_FACING_CAMERA: ["The person does not face the camera", "Turn to the camera."],
  PHOTO_SIDEWAYS: ["The photo lay on its side", "Unless its file says which way is up, it was turned: look at the result."],
  HDR_TONE_MAPPED: ["An HDR photo was brought to normal brightness", "Nothing to do; very bright parts look softer."],
  COLOR_PROFILE_IGNORED: ["The photo's color profile is broken", "Colors were taken as sRGB."],
};

/** Those that another photo would not have; the rest is about the request or the file. */
export const aboutThePhoto = (warnings) =>
  warnings.filter(({ code }) => ADVICE[code] && !["HDR_TONE_MAPPED", "COLOR_PROFILE_IGNORED"].includes(code));

/** Returns: { title, advice } */
export function inPlainWords({ code, message }) {
  const [title, advice] = ADVICE[code] ?? [message, ""];
  return { title, advice };
}

export function noteItem(warning) {
  const { title, advice } = inPlainWords(warning);
  const item = document.createElement("li");
  const strong = document.createElement("strong");
  strong.textContent = title;
  const name = document.createElement("code");
  name.textContent = warning.code;
  item.append(strong, advice ? ` ${advice} ` : " ", name);
  return item;
}
