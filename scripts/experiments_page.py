"""The text of docs/experiments.md, made from the results that scripts/experiments keeps."""

import math

BACKBONES = ["resnet18", "mobilenet_v2", "alexnet", "vgg16"]
# Name: what it is called, what it holds, and how it lies to ImageNet.
SETS = {
    "cifar10": ("CIFAR-10", "3,900 training and 1,000 test photos of ten classes, 32×32", "similar"),
    "fashion_mnist": ("Fashion-MNIST", "3,900 training and 1,000 test images of ten kinds of clothes, 28×28 grey", "different"),
    "elpv": ("ELPV", "400 training and 200 test solar cells, functional or defective, electroluminescence, 300×300 grey", "different"),
    "own-flowers5": ("flowers5 †", "500 training and 250 test photos of five flowers (of tf_flowers)", "similar"),
    "own-veg10": ("veg10 †", "560 training and 522 test photos of ten vegetables", "similar"),
    "own-animals4": ("animals4 †", "59 training and 24 test photos of four animals", "similar"),
    "own-wbc_bccd": ("wbc_bccd †", "241 training and 104 test micrographs of white blood cells, unbalanced", "different"),
}
# Resampled t-test of 15 differences: 97.5 % quantile of Student's t with 14 degrees of freedom.
FOLDS, REPEATS, T = 5, 3, 2.145

INTRODUCTION = """# The rules of thumb of transfer learning, measured

What everybody quotes: *small data similar to ImageNet → a linear classifier on the top layer's codes; small and very different →
an SVM on activations from earlier in the network.* This page holds them against real images, with error bars.

```sh
scripts/setup && cargo build --release
scripts/experiments      # fetches sets and weights, measures, writes this page; hours on two cores
```

Every number here is made by that command from [experiments/results.json](experiments/results.json), which also holds each
`headstart` command with the seconds it took. Seeds are the commands' defaults (0). Measured on two cores of an AMD EPYC
(family 25, model 17) without a GPU; features in f32.

Everything is chosen by cross-validation on training images (five folds, three times, C from 1e-4 to 10, features
standardised in each fold, every fit within 1e-3 of its optimum). Test images choose nothing; their columns carry Wilson's 95 % interval. A difference between two
rows is given with the 95 % interval of the corrected resampled t-test on the same folds (Nadeau and Bengio 2003). The row that is
compared is the best of several on those folds, so its p is multiplied by their number (Bonferroni); below 0.05 the
difference counts as significant.

Sets marked † are not in a package registry, so the command above does not measure them; they were given to it with
`--own NAME=IMAGES`.
"""


class Sweep:
    """The rows of one sweep: layers × heads of one backbone on one set."""

    def __init__(self, found):
        self.rows = found["rows"]
        depths = sorted({row["depth"] for row in self.rows})
        self.layers = [next(row["layer"] for row in self.rows if row["depth"] == depth) for depth in depths]
        self.top = self.layers[-1]

    def row(self, layer, head):
        return next(row for row in self.rows if (row["layer"], row["head"]) == (layer, head))

    def best(self, rows=None):
        """By cross-validation; of equals the cheaper."""
        return max(rows or self.rows, key=lambda row: (row["cv_mean"], -row["depth"]))

    def early(self):
        """All SVMs on anything before the top."""
        return [row for row in self.rows if row["head"] == "svm" and row["layer"] != self.top]

    def earlier(self):
        """The best of them."""
        return self.best(self.early())


class Difference:
    """Of the folds' scores of two rows, in points, the first of them the best of so many."""

    def __init__(self, one, other, best_of):
        pairs = [100 * (a - b) for a, b in zip(one["fold_scores"], other["fold_scores"])]
        self.mean = sum(pairs) / len(pairs)
        variance = sum((pair - self.mean) ** 2 for pair in pairs) / (len(pairs) - 1)
        error = math.sqrt(variance * (1 / len(pairs) + 1 / (FOLDS - 1)))
        self.half = T * error
        self.p = min(1.0, best_of * two_sided(self.mean / error, len(pairs) - 1)) if error > 0 else 1.0

    def is_significant(self):
        return self.p < 0.05

    def __str__(self):
        return f"{self.mean:+.1f} ± {self.half:.1f}"

    def chance(self):
        return "< 0.001" if self.p < 0.001 else f"{self.p:.2g}"


def two_sided(t, freedom):
    """The p of Student's t, by Simpson's rule on its density."""
    density = lambda x: (1 + x * x / freedom) ** (-(freedom + 1) / 2)
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    steps, end = 2000, min(abs(t), 60.0)
    inner = sum((1 if step in (0, steps) else 4 if step % 2 else 2) * density(end * step / steps) for step in range(steps + 1))
    return max(0.0, 1 - 2 * scale * inner * end / steps / 3)


def percent(value):
    return f"{100 * value:.1f}"


def named(row):
    return f"{row['layer']} {row['head']}"


def table(header, rows):
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [header, ["---"] * len(header), *rows]) + "\n"


def verdict(kind, sweep):
    """What the rule says of a kind of set, the difference it rests on, and whether it held."""
    best, top, earlier = sweep.best(), sweep.row(sweep.top, "logistic"), sweep.earlier()
    if kind == "similar":
        gap = Difference(best, top, len(sweep.rows) - 1)
        held = "yes" if best is top else "no" if gap.is_significant() else "as good as"
        return f"{named(top)}: {percent(top['test'])}", gap, held
    gap = Difference(earlier, top, len(sweep.early()))
    held = "not told apart" if not gap.is_significant() else "yes" if gap.mean > 0 else "no"
    return f"{named(earlier)}: {percent(earlier['test'])}", gap, held


def rules(results):
    """One row for each set and backbone."""
    rows = {"similar": [], "different": []}
    for name, (title, _, kind) in SETS.items():
        for backbone in BACKBONES:
            if entry := results.get(f"{name} {backbone} sweep"):
                sweep = Sweep(entry["found"])
                best, top = sweep.best(), sweep.row(sweep.top, "logistic")
                choice, gap, held = verdict(kind, sweep)
                rows[kind].append([title, backbone, choice, f"{named(best)}: {percent(best['test'])}", percent(top["test"]), gap, gap.chance(), held])
    text = "## Did the rules hold?\n\n" + answers(rows)
    text += "\n### Small and similar: a linear classifier on the top layer\n\n"
    text += "Compared is the best of all layers and heads with a logistic regression on the last stage, in points of "
    text += "cross-validated accuracy. *yes*: nothing did better; *as good as*: what did better cannot be told from it; *no*: it can.\n\n"
    header = ["set", "backbone", "the rule's choice: test %", "best by cross-validation: test %", "top logistic, test %"]
    drop = [row[:4] + row[5:] for row in rows["similar"]]
    text += table(header[:4] + ["best − rule", "p", "held"], drop)
    text += "\n" + counted(rows["similar"])
    text += "\n### Small and very different: an SVM on an earlier layer\n\n"
    text += "Compared is the best SVM on any stage before the last with a logistic regression on the last. *yes*: it is better; "
    text += "*no*: it is worse; *not told apart*: neither can be said.\n\n"
    text += table(header + ["earlier − top", "p", "held"], rows["different"]) + "\n" + counted(rows["different"])
    return text


def answers(rows):
    """The verdicts in words."""
    similar, different = rows["similar"], rows["different"]
    better = [row for row in similar if row[-1] == "no"]
    text = f"Small and similar: on the top stage a logistic regression was the best of everything tried in {held(similar, 'yes')} of {len(similar)} "
    text += f"cases (sets × backbones), and in {held(similar, 'as good as')} what came out ahead of it cannot be told from it. "
    text += f"Something was significantly better in {len(better)}{named_cases(better)}.\n\n"
    won, lost = ([row for row in different if row[-1] == outcome] for outcome in ("yes", "no"))
    text += f"Small and very different: an SVM on an earlier stage was significantly better than the top stage's logistic regression in {len(won)} of "
    text += f"{len(different)} cases{named_cases(won)}, significantly worse in {len(lost)}{named_cases(lost)}, and in the others these few images do not tell. "
    ahead = sum(row[-3].mean > 0 for row in different)
    text += f"In the mean over the folds it was ahead in {ahead}.\n"
    return text


def held(rows, outcome):
    return sum(row[-1] == outcome for row in rows)


def named_cases(rows):
    """In brackets: which, and by how much."""
    return f" ({'; '.join(f'{row[0]} with {row[1]}: {row[-3]} points' for row in rows)})" if rows else ""


def counted(rows):
    outcomes = [row[-1] for row in rows]
    return "Together: " + ", ".join(f"*{held}* {outcomes.count(held)}" for held in dict.fromkeys(outcomes)) + f", of {len(rows)}.\n"


def depth(results):
    """Every stage of every backbone on every set."""
    text = "## Every stage\n\nTest accuracy in %, in bold what cross-validation on the training images chose.\n"
    for name, (title, what, kind) in SETS.items():
        found = {backbone: results.get(f"{name} {backbone} sweep") for backbone in BACKBONES}
        if not any(found.values()):
            continue
        text += f"\n### {title}: {what} ({kind})\n"
        for backbone, entry in found.items():
            if not entry:
                continue
            sweep = Sweep(entry["found"])
            best = sweep.best()
            rows = []
            for head in ("logistic", "svm"):
                cells = [sweep.row(layer, head) for layer in sweep.layers]
                shown = [f"**{percent(row['test'])}**" if row is best else percent(row["test"]) for row in cells]
                rows.append([head, *shown])
            half = 50 * (best["test_high"] - best["test_low"])
            text += "\n" + table([f"{backbone} (± {half:.0f})", *sweep.layers], rows)
        text += picture(name, "depth", found[BACKBONES[0]])
    return text


def curves(results):
    """Learning curves: top logistic against the best earlier SVM."""
    text = "## 300, 600, 900 and all images\n\nTest accuracy in % (training accuracy) of a logistic regression on the last stage and of the SVM "
    text += "on that earlier stage which is best with all images. Below all images, the mean of five nested draws; test images are the same "
    text += "throughout. *difference*: earlier − top, mean and standard deviation over the draws.\n"
    for name, (title, _, _) in SETS.items():
        blocks = []
        for backbone in BACKBONES:
            sweep, curve = results.get(f"{name} {backbone} sweep"), results.get(f"{name} {backbone} curve")
            if not (sweep and curve):
                continue
            sweep, lines = Sweep(sweep["found"]), curve["found"]["lines"]
            line = lambda layer, head: next(line for line in lines if (line["layer"], line["head"]) == (layer, head))
            earlier = sweep.earlier()
            top, early = line(sweep.top, "logistic"), line(earlier["layer"], "svm")
            point = lambda point: f"{percent(point['test']['value'])} ({percent(point['train'])})"
            rows = [[f"{backbone} {sweep.top} logistic", *map(point, top["points"])], [f"{backbone} {named(earlier)}", *map(point, early["points"])]]
            rows.append(["difference", *(paired(a["by_draw"], b["by_draw"]) for a, b in zip(early["points"], top["points"]))])
            blocks.append(([f"{point['images']} images" for point in top["points"]], rows))
        if blocks:
            text += f"\n### {title}\n\n" + table(["", *blocks[0][0]], [row for _, rows in blocks for row in rows])
            text += picture(name, "curve", results.get(f"{name} {BACKBONES[0]} curve"))
    return text


def picture(name, what, entry):
    """What a command drew, with the command; only the first backbone's are kept."""
    return f"\n![{what}](experiments/{name}-{BACKBONES[0]}-{what}.svg)\n\n`{entry['command']}`\n" if entry else ""


def paired(one, other):
    """Mean and standard deviation of paired differences, in points."""
    pairs = [100 * (a - b) for a, b in zip(one, other)]
    mean = sum(pairs) / len(pairs)
    if len(pairs) == 1:
        return f"{mean:+.1f}"
    return f"{mean:+.1f} ± {math.sqrt(sum((pair - mean) ** 2 for pair in pairs) / (len(pairs) - 1)):.1f}"


def augmentation(results):
    """One view against eight."""
    text = "## Eight cached views of every image\n\nLogistic regression, `--augment standard --views 8` against no augmentation; test accuracy in % "
    text += "with one view → eight views of the training images → eight of the test images, too, added up (`--sum-views`); in brackets the "
    text += "gain over one view in points: mean and standard deviation over ten draws of images (the same for all). After the semicolon: "
    text += "one view of the test images, and of the training images two, of which the second is mirrored or not (`--augment flip --views 2`).\n\n"
    rows, gains = [], []
    for name, (title, _, _) in SETS.items():
        for backbone in BACKBONES:
            entry, summed, mirrored = (results.get(f"{name} {backbone} augmentation{of}") for of in ("", " summed", " mirrored"))
            if not (entry and summed and mirrored):
                continue
            lines = entry["found"]["lines"]
            for layer in dict.fromkeys(line["layer"] for line in lines):
                plain, varied = sorted((line for line in lines if line["layer"] == layer), key=lambda line: line["augmentation"]["views"])
                both, flip = (next(line for line in of["found"]["lines"] if line["layer"] == layer) for of in (summed, mirrored))
                cells = {}
                for a, *others in zip(plain["points"], varied["points"], both["points"], flip["points"]):
                    shown = [f"{percent(one['test']['value'])} ({paired(one['by_draw'], a['by_draw'])})" for one in others]
                    cells[a["asked"]] = f"{percent(a['test']['value'])} → {shown[0]} → {shown[1]}; {shown[2]}"
                    gains.append((a["asked"], [one["test"]["value"] - a["test"]["value"] for one in others]))
                rows.append(([title, backbone, layer], cells))
    if not rows:
        return ""
    asked = list(dict.fromkeys(size for size, _ in gains))
    text += table(["set", "backbone", "layer", *asked], [first + [cells.get(size, "") for size in asked] for first, cells in rows])
    for at, what in enumerate(["eight views of the training images", "eight views of training and test images", "mirroring alone"]):
        said = []
        for size in asked:
            own = [gain[at] for one, gain in gains if one == size]
            said.append(f"{size}: higher in {sum(gain > 0 for gain in own)} of {len(own)}, {100 * sum(own) / len(own):+.1f} points in the mean")
        text += f"\nWith {what}: " + "; ".join(said) + ".\n"
    return text


def commands(results):
    seconds = sum(entry["seconds"] for entry in results.values())
    extract = sum(entry["seconds"] for name, entry in results.items() if " views " in name or name.endswith(" extract"))
    example = [entry["command"] for name, entry in sorted(results.items()) if name.startswith("cifar10 resnet18")]
    text = f"## Commands\n\n{len(results)} commands, {seconds / 60:.0f} minutes, of which {extract / 60:.0f} for features "
    text += "(the machine was doing other work beside it). Those of one set and backbone:\n\n```sh\n"
    return text + "\n".join(example) + "\n```\n"


def missing(results):
    """What the page would show and nobody has measured yet."""
    pairs = [f"{SETS[name][0]} with {backbone}" for name in SETS for backbone in BACKBONES if f"{name} {backbone} curve" not in results]
    return f"Not measured yet, or not all of it: {', '.join(pairs)}.\n" if pairs else ""


def page(results):
    sections = [INTRODUCTION, missing(results), rules(results), depth(results), curves(results), augmentation(results), commands(results)]
    return "\n".join(sections)
