"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");

  // -- colours: as the system has them, or as chosen before, where the browser keeps that
  const kept = {
    get: () => { try { return localStorage.getItem("kplan-theme") || ""; } catch { return ""; } },
    set: (name) => { try { localStorage.setItem("kplan-theme", name); } catch { /* not kept */ } },
  };
  const paint = (name) => name ? root.setAttribute("data-theme", name) : root.removeAttribute("data-theme");
  paint(kept.get());

  addEventListener("DOMContentLoaded", () => {
    const theme = document.getElementById("theme");
    theme.value = kept.get();
    theme.addEventListener("change", () => { paint(theme.value); kept.set(theme.value); });

    // -- what is shown: a step that has every word, and one of the chosen values of each group
    const part = 300;  // so many steps at a time, for a browser is slow to lay out thousands
    const form = document.getElementById("filters");
    const search = document.getElementById("search");
    const steps = [...document.querySelectorAll(".step")];
    const words = new Map();
    let limit = part;
    const text = (step) => {
      if (!words.has(step)) {
        const parts = [...step.querySelectorAll("summary, .body > :not(.undo)")];
        words.set(step, parts.map((each) => each.textContent).join(" ").toLowerCase());
      }
      return words.get(step);
    };
    const chosen = () => {
      const groups = {};
      for (const box of form.querySelectorAll("input:checked")) (groups[box.name] ||= new Set()).add(box.value);
      return Object.entries(groups);
    };
    const fits = (step, groups, wanted) =>
      groups.every(([name, values]) => step.dataset[name].split(" ").some((value) => values.has(value)))
      && wanted.every((word) => text(step).includes(word));
    const count = (number) => number.toLocaleString("en");
    const total = (list) => list.reduce((sum, step) => sum + Number(step.dataset.total || 1), 0);  // a row may be several
    const tell = (found) => {
      const later = found.slice(limit);
      const final = total(later.filter((step) => step.dataset.risk.includes("final")));
      const all = `${count(total(steps))} steps`;
      document.getElementById("shown").textContent = found.length < steps.length ? `${count(total(found))} of ${all}` : all;
      document.getElementById("none").hidden = found.length > 0;
      document.getElementById("later").hidden = !later.length;
      document.getElementById("left").textContent =
        `${count(total(later))} more steps` + (final ? `, ${count(final)} of them cannot be undone` : "");
    };
    const show = () => {
      const groups = chosen();
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = steps.filter((step) => fits(step, groups, wanted));
      const fit = new Set(found), seen = new Set(found.slice(0, limit));
      const mark = (each, fitting, visible) => {
        each.hidden = !fitting;
        each.classList.toggle("later", fitting && !visible);
      };
      for (const step of steps) mark(step, fit.has(step), seen.has(step));
      const has = (part, which) => part.querySelector(`.step:not(${which})`) !== null;
      const whole = (each, part) => mark(each, has(part, "[hidden]"), has(part, "[hidden], .later"));
      for (const rule of document.querySelectorAll(".rule")) whole(rule, rule.nextElementSibling);
      for (const stack of document.querySelectorAll(".stack"))
        if (has(stack, "x")) whole(stack, stack); else stack.hidden = found.length < steps.length;
      tell(found);
    };
    const clear = () => {
      search.value = "";
      for (const box of form.querySelectorAll("input:checked")) box.checked = false;
    };
    const filter = () => { limit = part; show(); };
    const open = (value) => () => {
      for (const step of document.querySelectorAll(".step:not([hidden], .later)")) step.firstElementChild.open = value;
    };
    if (form) {
      let waiting = 0;
      const later = () => { clearTimeout(waiting); waiting = setTimeout(filter, steps.length > part ? 120 : 0); };
      search.addEventListener("input", later);
      form.addEventListener("change", (event) => { if (event.target !== search) filter(); });
      for (const button of document.querySelectorAll(".reset")) button.addEventListener("click", () => { clear(); filter(); });
      form.addEventListener("submit", (event) => event.preventDefault());
      document.getElementById("open").addEventListener("click", open(true));
      document.getElementById("close").addEventListener("click", open(false));
      document.getElementById("more").addEventListener("click", () => { limit += part; show(); });
      show();
    }

    // -- a command is copied by a button beside it; where the browser refuses, it is selected
    for (const command of document.querySelectorAll("code.words")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy ${command.textContent}`);
      button.addEventListener("click", async () => {
        let done = "Copied";
        try { await navigator.clipboard.writeText(command.textContent); } catch {
          getSelection().selectAllChildren(command);
          done = document.execCommand("copy") ? "Copied" : "Selected";
        }
        button.textContent = done;
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
      command.after(button);
    }

    // -- a link to a step shows it and opens it
    const follow = () => {
      const target = document.getElementById(location.hash.slice(1));
      const step = target?.closest(".step");
      if (!step) return;
      if (step.matches("[hidden], .later")) {
        clear();
        limit = Math.ceil((steps.indexOf(step) + 1) / part) * part;
        show();
      }
      step.firstElementChild.open = true;
      target.scrollIntoView();
    };
    addEventListener("hashchange", follow);
    follow();
    document.addEventListener("click", (event) => {
      const box = event.target.closest("[data-step]");
      if (box) location.hash = box.dataset.step;
      const link = event.target.closest("a[href^='#']");
      if (link && link.hash === location.hash) follow();
    });

    // -- paper has nothing to click: all is open where the style cannot see to that
    if (!CSS.supports("selector(::details-content)")) {
      let closed = [];
      addEventListener("beforeprint", () => {
        closed = [...document.querySelectorAll("details:not([open])")];
        for (const each of closed) each.open = true;
      });
      addEventListener("afterprint", () => { for (const each of closed) each.open = false; });
    }
  });
})();
