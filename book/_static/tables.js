// Tables of `lab.show`. A box that scrolls can be reached by the keyboard and has a name; one that does not, has neither.
// Folded tables are open in print and behind a link to them. Without this script browsers do most of it by themselves.
(() => {
  const tell = (box) => {
    const scrolls = box.scrollWidth > box.clientWidth;
    if (!scrolls) {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      return;
    }
    const caption = box.querySelector("caption");
    box.setAttribute("tabindex", "0");
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `${caption ? caption.textContent : "Table"} (scrolls sideways)`);
  };
  const open = () => {
    const wanted = location.hash.startsWith("#table-") && document.getElementById(location.hash.slice(1));
    if (wanted && wanted.tagName === "DETAILS") wanted.open = true;
  };
  const start = () => {
    const watch = new ResizeObserver((entries) => entries.forEach((entry) => tell(entry.target)));
    document.querySelectorAll(".lab-scroll").forEach((box) => watch.observe(box));
    open();
    addEventListener("hashchange", open);
    const folded = [];
    addEventListener("beforeprint", () => {
      document.querySelectorAll("details.lab-table:not([open])").forEach((one) => { one.open = true; folded.push(one); });
    });
    addEventListener("afterprint", () => folded.splice(0).forEach((one) => { one.open = false; }));
  };
  document.readyState === "loading" ? addEventListener("DOMContentLoaded", start) : start();
})();
