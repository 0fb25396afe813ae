// @ts-check
/** The report in its frame: as tall as it is, and printed whole. Without this script the frame scrolls. */

const frame = /** @type {HTMLIFrameElement | null} */ (document.querySelector("#report"));
const print = document.querySelector("#print");

/** Let the frame be as tall as what is in it. */
function fit() {
  const height = frame?.contentDocument?.body?.scrollHeight;
  if (!frame || !height) return;
  const borders = frame.offsetHeight - frame.clientHeight;
  frame.style.blockSize = `${height + borders}px`;
}

if (frame) {
  frame.addEventListener("load", () => {
    const report = frame.contentDocument?.documentElement;
    // The system's colours are the report's by itself; those that were chosen for this browser are not.
    if (report) report.style.colorScheme = document.documentElement.dataset.theme ?? "";
    fit();
  });
  new ResizeObserver(fit).observe(document.body);
  fit();
  print?.addEventListener("click", (event) => {
    if (!frame.contentWindow) return;
    event.preventDefault();
    frame.contentWindow.print();
  });
}
