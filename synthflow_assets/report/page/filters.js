// The filters: the selected days and agents, and the controls that show and change them.

/** The selection: days counted from the first day of the data, and for each agent whether it is selected. */
class Filters {
  constructor(numbers, onChange) {
    Object.assign(this, { numbers, onChange });
    this.start = dayNumber(numbers.facts.from) - numbers.firstDay;
    this.end = dayNumber(numbers.facts.to) - numbers.firstDay;
    this.makeRanges();
    this.makeAgents();
    for (const id of ["from", "to"]) {
      find(id).min = numbers.facts.from;
      find(id).max = numbers.facts.to;
      find(id).addEventListener("change", () => this.readDays(id));
    }
    document.querySelector(".filters form").addEventListener("submit", (event) => event.preventDefault());
    find("reset").addEventListener("click", () => this.reset());
    this.setAll();
  }

  setAll() {
    Object.assign(this, { first: this.start, last: this.end, selected: Array(this.numbers.agents).fill(true) });
    this.show();
  }

  reset() {
    find("find").value = "";
    this.search();
    this.setAll();
    this.onChange();
  }

  makeRanges() {
    const length = this.end - this.start + 1;
    const button = (days, name) =>
      make(
        "button",
        {
          type: "button",
          "data-days": days,
          onclick: () => {
            Object.assign(this, { first: this.end - days + 1, last: this.end });
            this.show();
            this.onChange();
          },
        },
        name,
      );
    const shorter = [7, 30, 90].filter((days) => days < length);
    find("ranges").append(
      ...shorter.map((days) => button(days, `${days} days`)),
      button(length, shorter.length ? `All ${length} days` : plural(length, "day")),
    );
  }

  makeAgents() {
    find("agents").append(
      ...this.numbers.facts.agents.map((name, index) =>
        make(
          "li",
          {},
          make(
            "label",
            {},
            make("input", {
              type: "checkbox",
              onchange: (event) => {
                this.selected[index] = event.target.checked;
                this.show();
                this.onChange();
              },
            }),
            make("span", {}, name),
          ),
        ),
      ),
    );
    const setFound = (value) => {
      [...find("agents").children].forEach((item, index) => {
        if (!item.hidden) this.selected[index] = value;
      });
      this.show();
      this.onChange();
    };
    find("all").addEventListener("click", () => setFound(true));
    find("none").addEventListener("click", () => setFound(false));
    find("find").addEventListener("input", () => this.search());
    const details = document.querySelector(".agents");
    document.addEventListener("click", (event) => {
      if (!details.contains(event.target)) details.open = false;
    });
    details.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      details.open = false;
      find("selected").focus();
    });
  }

  search() {
    const wanted = find("find").value.trim().toLowerCase();
    [...find("agents").children].forEach((item, index) => {
      item.hidden = !this.numbers.facts.agents[index].toLowerCase().includes(wanted);
    });
  }

  readDays(changed) {
    const clamp = (text, otherwise) => {
      const day = dayNumber(text) - this.numbers.firstDay;
      return Number.isNaN(day) ? otherwise : Math.min(this.end, Math.max(this.start, day));
    };
    this.first = clamp(find("from").value, this.start);
    this.last = clamp(find("to").value, this.end);
    if (this.first > this.last) {
      if (changed === "from") this.last = this.first;
      else this.first = this.last;
    }
    this.show();
    this.onChange();
  }

  show() {
    const iso = (day) => new Date((this.numbers.firstDay + day) * DAY_MS).toISOString().slice(0, 10);
    find("from").value = iso(this.first);
    find("to").value = iso(this.last);
    for (const button of find("ranges").querySelectorAll("button")) {
      const isOn = this.last === this.end && this.last - this.first + 1 === Number(button.dataset.days);
      button.setAttribute("aria-pressed", isOn);
    }
    const names = this.numbers.facts.agents.filter((_, index) => this.selected[index]);
    const all = names.length === this.numbers.agents;
    find("selected").textContent = all
      ? "All agents"
      : names.length === 1
        ? shortened(names[0], 40)
        : `${names.length} of ${plural(this.numbers.agents, "agent")}`;
    [...find("agents").querySelectorAll("input")].forEach((box, index) => {
      box.checked = this.selected[index];
    });
  }
}
