// Arrow keys, page keys and space turn slides; a swipe scrolls, and the page snaps by itself.
const slides = [...document.querySelectorAll("section")];
const stage = document.querySelector("main");
const at = () => Math.round(stage.scrollTop / stage.clientHeight);
const go = (to) => {
  const slide = slides[Math.max(0, Math.min(slides.length - 1, to))];
  slide.scrollIntoView();
  slide.focus({ preventScroll: true });
};
const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
document.addEventListener("keydown", (event) => {
  if (event.key in steps && event.target.tagName !== "A") { event.preventDefault(); go(at() + steps[event.key]); }
  if (event.key === "Home") go(0);
  if (event.key === "End") go(slides.length - 1);
});
