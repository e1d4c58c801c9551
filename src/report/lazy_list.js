"use strict";
/* A grid of cards of which only those in sight, and a screen above and below, are in the document.
   box:        an element with role=list
   least():    the least width of a card in pixels
   height(w):  the height of a card that is w pixels wide
   draw(item): a new card; change(card, item): brings a card up to date */
function lazyList(box, { least, height, draw, change, gap = 12 }) {
  const cards = new Map();
  let items = [], columns = 1, width = 0, tall = 0, waiting = false;
  box.classList.add("lazy");

  function measure() {
    const room = box.clientWidth;
    columns = Math.max(1, Math.floor((room + gap) / (least() + gap)));
    width = (room - gap * (columns - 1)) / columns;
    tall = height(width);
    const rows = Math.ceil(items.length / columns);
    box.style.height = Math.max(0, rows * (tall + gap) - gap) + "px";
  }

  function place(card, position) {
    const [row, column] = [Math.floor(position / columns), position % columns];
    card.style.transform = `translate(${column * (width + gap)}px, ${row * (tall + gap)}px)`;
    card.style.width = width + "px";
    card.style.height = tall + "px";
    card.setAttribute("role", "listitem");
    card.setAttribute("aria-posinset", position + 1);
    card.setAttribute("aria-setsize", items.length);
  }

  function update(changed) {
    const top = -box.getBoundingClientRect().top, screen = window.innerHeight, step = tall + gap;
    const first = Math.max(0, Math.floor((top - screen) / step)) * columns;
    const last = Math.min(items.length, Math.ceil((top + 2 * screen) / step) * columns);
    const seen = new Set(items.slice(first, Math.max(first, last)));
    for (const [item, card] of cards) {
      // Whoever has the focus keeps it when scrolled out of sight.
      const stays = seen.has(item) || (!changed && card.contains(document.activeElement));
      if (!stays) {
        card.remove();
        cards.delete(item);
      }
    }
    // From the last to the first, so that the document has them in the order in which they are seen.
    let next = null;
    for (let position = last - 1; position >= first; position--) {
      const item = items[position];
      let card = cards.get(item);
      if (!card) {
        card = draw(item);
        cards.set(item, card);
      }
      if (card.nextSibling !== next || card.parentNode !== box) {
        const focused = card.contains(document.activeElement) && document.activeElement;
        box.insertBefore(card, next);
        if (focused) focused.focus({ preventScroll: true });
      }
      next = card;
      if (changed) change(card, item);
      place(card, position);
    }
  }

  function soon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (!box.classList.contains("still")) update(false);
    });
  }

  function relayout() {
    if (box.classList.contains("still")) return;
    measure();
    update(true);
  }

  window.addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(relayout).observe(box.parentNode);

  return {
    /* Shows these items, in this order. */
    show(next) {
      items = next;
      relayout();
    },
    /* Sizes of cards have changed. */
    relayout,
    /* For paper: all cards, up to so many, one after the other. Returns how many. */
    still(most) {
      const some = items.slice(0, most);
      cards.clear();
      box.classList.add("still");
      box.style.height = "";
      box.replaceChildren(...some.map(draw));
      for (const card of box.children) card.setAttribute("role", "listitem");
      return some.length;
    },
    /* Back from paper. */
    lively() {
      box.classList.remove("still");
      box.replaceChildren();
      relayout();
    },
  };
}
