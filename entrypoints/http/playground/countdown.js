// Live countdowns to instants. One clock drives them all.
const running = new Map();

export function countDown(element, instant, { whenOver, over = "over" }) {
  element.dateTime = instant;
  element.title = new Date(instant).toLocaleString();
  running.set(element, { until: Date.parse(instant), whenOver, over });
  tick();
}

export const stopCounting = (element) => running.delete(element);

function tick() {
  for (const [element, { until, whenOver, over }] of [...running]) {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    element.textContent = seconds > 0 ? inWords(seconds) : over;
    if (seconds > 0) continue;
    running.delete(element);
    whenOver?.();
  }
}

function inWords(seconds) {
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  return parts.slice(first).map(([number, unit]) => `${number} ${unit}`).join(" ");
}

setInterval(tick, 1000);
