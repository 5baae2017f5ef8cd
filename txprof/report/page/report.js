"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // Findings: filter and sort.
  const form = byId("filters");
  if (form) {
    const list = byId("list");
    const items = Array.from(list.children, (item) => ({
      item,
      rule: item.dataset.rule,
      severity: item.dataset.severity,
      order: Number(item.dataset.order),
      seconds: -Number(item.dataset.seconds),
      count: -Number(item.dataset.count),
      place: item.dataset.place,
      text: null,
    }));
    const controls = ["text", "rule", "severity", "sort"].map(byId);
    const [text, rule, severity, sort] = controls;
    let sorted = "order";
    const apply = () => {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const one of items) {
        let keep = (!rule.value || one.rule === rule.value)
          && (!severity.value || one.severity === severity.value);
        if (keep && words.length) {
          one.text ??= one.item.textContent.toLowerCase();
          keep = words.every((word) => one.text.includes(word));
        }
        one.item.hidden = !keep;
        shown += keep;
      }
      if (sort.value !== sorted) {
        sorted = sort.value;
        const key = (one) => one[sorted];
        items.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.order - b.order));
        list.append(...items.map((one) => one.item));
      }
      byId("shown").textContent =
        `${shown.toLocaleString("en")} of ${items.length.toLocaleString("en")} findings shown`;
    };
    let waiting = 0;
    text.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(apply, 120);
    });
    for (const control of [rule, severity, sort]) control.addEventListener("change", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply));
    form.hidden = false;
    apply();
  }

  // A link leads into what is folded, or filtered away.
  const reveal = () => {
    const target = location.hash && byId(location.hash.slice(1));
    if (!target) return;
    if (target.hidden && form) form.reset();
    for (let at = target.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
    setTimeout(() => target.scrollIntoView({ block: "center" }));
  };
  addEventListener("hashchange", reveal);
  reveal();

  // The timeline: one bar of a lane is in the tab order, the arrow keys move it.
  const readout = byId("readout");
  if (readout) {
    let now = null;
    const read = (bar) => {
      if (now) now.classList.remove("now");
      now = bar;
      bar.classList.add("now");
      readout.textContent = bar.querySelector("title").textContent;
    };
    const bar = (event) => event.target.closest && event.target.closest("svg.lane rect");
    document.addEventListener("pointerover", (event) => { if (bar(event)) read(bar(event)); });
    document.addEventListener("click", (event) => { if (bar(event)) bar(event).focus(); });
    document.addEventListener("focusin", (event) => { if (bar(event)) read(bar(event)); });
    document.addEventListener("keydown", (event) => {
      const from = bar(event);
      if (!from) return;
      const bars = Array.from(from.parentElement.querySelectorAll("rect"));
      const at = bars.indexOf(from);
      const to = {
        ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1,
        Home: 0, End: bars.length - 1,
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      const next = bars[Math.max(0, Math.min(bars.length - 1, to))];
      from.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  }
})();
