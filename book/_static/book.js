// Areas that scroll sideways can be reached with the keyboard and have a name; areas that do not scroll are not stops.
const AREAS = "article pre, article div.math, article .cell_output .output, article .pst-scrollable-table-container, article .table-wrapper";

function nameOf(area) {
  if (area.matches(".math")) return "Formula, scrolls sideways";
  return area.querySelector("table") ? "Table, scrolls sideways" : "Code, scrolls sideways";
}

function markAreas() {
  for (const area of document.querySelectorAll(AREAS)) {
    const flow = getComputedStyle(area).overflowX;
    if (area.scrollWidth > area.clientWidth && (flow === "auto" || flow === "scroll")) {
      area.tabIndex = 0;
      area.setAttribute("role", "group");
      area.setAttribute("aria-label", nameOf(area));
    } else if (area.hasAttribute("tabindex")) {
      area.removeAttribute("tabindex");
      if (area.getAttribute("role") === "group") {
        area.removeAttribute("role");
        area.removeAttribute("aria-label");
      }
    }
  }
}

// After the theme, which marks areas on its own when the page is ready and when the window changes.
addEventListener("load", () => setTimeout(markAreas));
addEventListener("resize", () => setTimeout(markAreas, 400));
document.addEventListener("toggle", markAreas, true);
