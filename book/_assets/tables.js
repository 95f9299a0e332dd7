// Controls of tables with the class "sortable": a button in each column's head, lists and a field that choose rows.
// The sorting itself is that of vendor/sortable, which compares `data-sort` where a cell has it.
(function () {
  "use strict";
  const MOST_CHOICES = 16; // distinct values of a column that becomes a list
  const NUMBER = /^[+\u2212-]?\d+(?:[.,]\d+)*/;

  const words = (cell) => cell.textContent.trim().replace(/\s+/g, " ");

  // "71.2 ± 0.4" and "71.2 [69.0, 73.1]" are sorted by their first number, and what was not run stays last.
  function sortValues(table, numeric) {
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, i) => {
        if (numeric[i]) {
          const found = words(cell).match(NUMBER);
          cell.dataset.sort = found ? found[0].replace(/,/g, "").replace("\u2212", "-") : "";
        }
      });
    }
  }

  function numericColumns(table) {
    return [...table.tHead.rows[0].cells].map((_, i) =>
      [...table.tBodies[0].rows].some((row) => NUMBER.test(words(row.cells[i]))));
  }

  // A mean is no row among the others: it keeps its place below them.
  function summariesBelow(table) {
    const rows = [...table.tBodies[0].rows].filter((row) => /^mean$/i.test(words(row.cells[0])));
    if (rows.length) {
      (table.tFoot || table.createTFoot()).append(...rows);
    }
  }

  function headButtons(table) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      const text = head.querySelector("p") || head;
      button.type = "button";
      button.className = "sort-button";
      button.title = "sort by this column";
      button.append(...text.childNodes);
      text.append(button);
      head.scope = "col";
    }
  }

  function choices(table, column) {
    return [...new Set([...table.tBodies[0].rows].map((row) => words(row.cells[column])))];
  }

  function labelled(text, control) {
    const label = document.createElement("label");
    label.append(`${text} `, control);
    return label;
  }

  function list(name, values) {
    const select = document.createElement("select");
    select.add(new Option("all", ""));
    values.forEach((value) => select.add(new Option(value, value)));
    select.dataset.column = name;
    return select;
  }

  function filters(table, numeric) {
    const bar = document.createElement("div");
    const count = document.createElement("span");
    const field = document.createElement("input");
    const lists = [];
    bar.className = "table-filters";
    count.setAttribute("role", "status");
    field.type = "search";
    field.size = 10;
    [...table.tHead.rows[0].cells].forEach((head, i) => {
      const values = numeric[i] ? [] : choices(table, i);
      if (values.length > 1 && values.length <= MOST_CHOICES && values.length < table.tBodies[0].rows.length) {
        lists.push([i, list(words(head), values)]);
        bar.append(labelled(words(head), lists.at(-1)[1]));
      }
    });
    bar.append(labelled("with the words", field), count);
    const apply = () => {
      const rows = [...table.tBodies[0].rows];
      const sought = field.value.trim().toLowerCase();
      for (const row of rows) {
        row.hidden = !(lists.every(([i, select]) => !select.value || words(row.cells[i]) === select.value)
          && words(row).toLowerCase().includes(sought));
      }
      count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    bar.addEventListener("input", apply);
    apply();
    return bar;
  }

  function enliven(table) {
    if (!table.tHead || !table.tBodies.length || table.tBodies[0].rows.length < 2) {
      return;
    }
    summariesBelow(table);
    const numeric = numericColumns(table);
    sortValues(table, numeric);
    headButtons(table);
    const wide = table.closest(".pst-scrollable-table-container") || table;
    wide.before(filters(table, numeric));
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("table.sortable").forEach(enliven);
  });
})();
