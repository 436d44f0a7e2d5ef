"use strict";

const rows = JSON.parse(document.getElementById("values").textContent); // for each sample, a number or null per column
const articles = [...document.querySelectorAll("article")];
const texts = articles.map(article => article.querySelector("details").textContent.toLowerCase());
const search = document.getElementById("text"), filters = document.getElementById("filters");

function addFilter() {
  const filter = document.querySelector("template").content.firstElementChild.cloneNode(true);
  const select = filter.querySelector("select"), bounds = [...filter.querySelectorAll("input")];
  const showRange = () => {
    const known = rows.map(row => row[select.value]).filter(value => value !== null);
    bounds[0].placeholder = Math.min(...known);
    bounds[1].placeholder = Math.max(...known);
  };
  select.addEventListener("change", showRange);
  filter.querySelector("button").addEventListener("click", () => {
    filter.remove();
    show();
  });
  filters.append(filter);
  showRange();
}

// An unset bound passes every sample; a set one rejects samples without the value.
function passes(row, filter) {
  const value = row[filter.querySelector("select").value];
  const [low, high] = [...filter.querySelectorAll("input")].map(input => input.valueAsNumber);
  return (isNaN(low) || (value !== null && value >= low)) && (isNaN(high) || (value !== null && value <= high));
}

function show() {
  const words = search.value.toLowerCase(), all = [...filters.children];
  articles.forEach((article, number) => {
    article.hidden = !texts[number].includes(words) || !all.every(filter => passes(rows[number], filter));
  });
  const count = articles.filter(article => !article.hidden).length;
  document.querySelector("output").textContent = `${count} of ${articles.length} samples match`;
}

document.getElementById("labels").addEventListener("change", event => {
  document.body.classList.toggle("plain", !event.target.checked);
});
document.getElementById("more").addEventListener("click", addFilter);
document.querySelector("header").addEventListener("input", show);
if (rows.length) addFilter();
show();
