"use strict";
// Sample grids over training: one slider for all runs, an animation, the seed that is shown, and the size.

function setUpImages(data) {
  const slider = document.getElementById("step"), output = document.querySelector("output[for=step]");
  const size = document.getElementById("size"), seed = document.getElementById("seed"), play = document.getElementById("play");
  const figures = [...document.querySelectorAll("#images .samples[data-group]")].filter(figure => figure.querySelector("img"));
  const steps = [...new Set(data.runs.flatMap(run => run.frames.map(([step]) => step)))].sort((a, b) => a - b);
  const visible = new Set();

  const watcher = new IntersectionObserver(entries => { // only what is on the screen is decoded
    for (const {target, isIntersecting} of entries) {
      isIntersecting ? visible.add(target) : visible.delete(target);
      if (isIntersecting) show(target);
    }
  }, {rootMargin: "300px"});

  function runOf(figure) {
    if (figure.dataset.run) return data.runs[figure.dataset.run];
    const runs = data.groups[figure.dataset.group].runs.map(number => data.runs[number]);
    return runs.find(run => seed?.value && run.seed === seed.value) ?? (seed?.value ? undefined : runs.find(run => run.frames.length));
  }

  function show(figure) {
    const image = figure.querySelector("img"), at = figure.querySelector(".at"), run = runOf(figure), step = steps[slider.value];
    const frame = run?.frames.findLast(([own]) => own <= step) ?? run?.frames[0];
    image.style.visibility = frame ? "visible" : "hidden";
    at.textContent = !frame ? "no image of this seed" : frame[0] === step ? "" : `(step ${frame[0].toLocaleString("en")})`;
    if (frame && image.src !== frame[1]) image.src = frame[1];
  }

  function update() {
    output.textContent = steps.length ? `step ${steps[slider.value].toLocaleString("en")}` : "no images";
    visible.forEach(show);
  }

  slider.max = Math.max(0, steps.length - 1);
  slider.value = slider.max;
  slider.addEventListener("input", update);
  slider.disabled = play.disabled = steps.length < 2;
  if (seed) {
    const seeds = [...new Set(data.runs.map(run => run.seed))].sort((a, b) => a - b);
    seed.append(new Option("first", ""), ...seeds.map(value => new Option(value, value)));
    seed.addEventListener("change", update);
  }
  size.addEventListener("change", () => {
    for (const image of document.querySelectorAll("#images .samples img")) image.style.setProperty("--scale", size.value);
  });

  let timer = null;
  play.addEventListener("click", () => {
    play.ariaPressed = timer === null;
    play.textContent = timer === null ? "Pause" : "Play";
    if (timer !== null) {
      clearInterval(timer);
      timer = null;
      return;
    }
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % steps.length;
      update();
    }, 400);
  });
  addEventListener("beforeprint", () => figures.forEach(show));
  for (const figure of figures) watcher.observe(figure);
  update();
}
