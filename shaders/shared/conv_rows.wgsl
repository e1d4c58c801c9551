// A row of the product is an output pixel, and k walks over (kh, kw, ci) of its window. `staged` makes a
// Staged of what is in X.
struct Place {
    ky: u32,
    kx: u32,
    // Counted in vec4s.
    ci: u32,
}

// What row `row` reads from: its image's first line, and the window's corner with the padding still counted.
// Rows past the end are not `inside`.
struct Origin {
    image: u32,
    oy: u32,
    ox: u32,
    inside: bool,
}

fn origin(row: u32) -> Origin {
    let pixel = row % (p.out_h * p.out_w);
    let image = row / (p.out_h * p.out_w) * p.in_h;
    return Origin(image, pixel / p.out_w * p.stride, pixel % p.out_w * p.stride, row < p.m);
}

// Brings `ci` back into the channels of one tap: no division, since a step is short. Past the last tap, ky =
// kernel_h.
fn forward(start: Place) -> Place {
    var at = start;
    while (at.ci >= p.k4) {
        at.ci -= p.k4;
        at.kx += 1u;
        if (at.kx == p.kernel_w) {
            at.kx = 0u;
            at.ky += 1u;
        }
    }
    return at;
}

fn load_x(corner: Origin, at: Place) -> Staged {
    // Unsigned wrap-around makes a negative coordinate larger than any size.
    let iy = corner.oy + at.ky - p.pad_top;
    let ix = corner.ox + at.kx - p.pad_left;
    if (corner.inside && at.ky < p.kernel_h && iy < p.in_h && ix < p.in_w) {
        return staged(x[((corner.image + iy) * p.in_w + ix) * p.k4 + at.ci]);
    }
    return Staged();
}
