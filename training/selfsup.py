#!/usr/bin/env python3
"""Layer Consistency as its paper has it, self-supervised: what is in features that were learnt without a label?

    prepare.py ...                                                             # once
    selfsup.py --features F --out RUN --steps 4000 --seconds 20 --dim 128 --into ../docs/research.md  # goes on where it stopped

Three arms learn to name the k-means units of masked speech (pretrain.py), from the same batches, in turn, in one process:

    uniform         one block for twelve layers, each step at a depth drawn uniformly: the paper's
    shared-12       the same block, every step at full depth
    unshared-12     twelve blocks, every step at full depth

Beside them, in the same table: `supervised`, the model that ships; `random` and `random-12`, one block and twelve that learnt
nothing (of the latter the similarity alone); `log-mel`, two frames of 10 ms side by side. All but that are model files that the
C engine streams, 320 ms a chunk; features are what each layer itself gives, and stay as they are. Of speakers of the training
splits a linear classifier learns phones (softmax regression of single frames, probe.py) and a small recogniser phones and
letters (ctc.py); speakers of dev and devcv, whom no arm heard, judge. Similarity of layers: as probe.py has it.

CPU seconds a step are those of the training itself; shallow inference is timed as claim.py does.

--model-out: `uniform` as a model file whose head is the linear classifier of its last layer, in 16 bits, with the decoder of
the one that ships, so that it is served and judged like others (compare.py).
"""

import datetime
import json
import os
from dataclasses import replace

import numpy as np
import soundfile as sf
import torch

import ctc
import frozen
import intervals
from breakdown import frame_labels
from capi import Engine
from corpus import read_manifest
from crowd import depth_costs
from data import Features, moments
from evaluate import file_facts
from export import decoder_of, export, load_checkpoint
from frontend import log_mel
from model import Config, Encoder
from phones import PHONES, edits
from pretrain import Learner, Units, corpus, masked_batches, options
from probe import accuracy, fit, regression, similarities
from report import RESULTS, insert, keep, rows, wrap

UNIFORM, SHARED, UNSHARED, SUPERVISED = "uniform", "shared-12", "unshared-12", "supervised"
ARMS = {UNIFORM: (1, "uniform"), SHARED: (1, "fixed"), UNSHARED: (12, "fixed")}        # blocks, law of the depth
RANDOM, RANDOM_12, MEL = "random", "random-12", "log-mel"
CHUNK, DEPTH, PER_CLIP = 16, 12, 40         # frames; layers; frames of a clip that a probe learns from
TARGETS = {"phones": len(PHONES) - 1, "letters": len(ctc.LETTERS)}
MEASURES = {"cosine": "mean cosine", "cka": "linear CKA", "knn": "mutual 10 nearest neighbours"}


# ---- training ---------------------------------------------------------------------------------

def train(a):
    """All arms to a.steps steps; they go on from their checkpoints."""
    feats = Features(a.features)
    speech, hours = corpus(feats, a.hold_out)
    os.makedirs(a.out, exist_ok=True)
    units = Units.kept(os.path.join(a.out, "units.npz"), feats, [e for e in speech if e["speed"] == 1.0], a.units, a.seed)
    mel = moments(feats, speech)
    runs = {n: Learner(os.path.join(a.out, n), Config(dim=a.dim, ffn=4 * a.dim, blocks=b, norms=a.norms), a.units, a.seen, law, a.seed, mel)
            for n, (b, law) in ARMS.items()}
    step, told = min(r.step for r in runs.values()), {n: [] for n in ARMS}
    stream = masked_batches(feats, speech, units, mel, Config().delay, a.seconds, a.seed * 1000003 + step)
    while step < a.steps:
        batch = next(stream)
        for n, r in runs.items():
            if r.step == step:
                told[n].append(r.update(batch, a.steps, a.lr, a.tail))
        step += 1
        if step % 25 == 0 or step == a.steps:
            means = {n: np.mean(t, 0) for n, t in told.items() if t}
            print(f"step {step}  " + "  ".join(f"{n}: {loss:.3f}, {100 * hidden:.1f} and {100 * seen:.1f} % named rightly, "
                                               f"{runs[n].cpu / step:.2f} CPU s" for n, (loss, hidden, seen) in means.items()), flush=True)
            for n, (loss, hidden, seen) in means.items():
                runs[n].save(seed=a.seed, units=a.units, hours=hours, audio_seconds=a.seconds, loss=loss, right=dict(masked=hidden, seen=seen))
            told = {n: [] for n in ARMS}


def trained(a):
    """{arm: its summary}, of all of them at a.steps"""
    found = {}
    for n in ARMS:
        path = os.path.join(a.out, n, "summary.json")
        if os.path.exists(path):
            with open(path) as f:
                found[n] = json.load(f)
    if len(found) < len(ARMS) or any(s["steps"] < a.steps for s in found.values()):
        train(a)
        return trained(a)
    return found


def model_files(a):
    """{name: model file}; arms that went on and what is not there are exported."""
    out = {n: os.path.join(a.out, n + ".safetensors") for n in (*ARMS, RANDOM, RANDOM_12)}
    for n, path in out.items():
        last = os.path.join(a.out, n if n in ARMS else UNIFORM, "last.pt")
        if not os.path.exists(path) or n in ARMS and os.path.getmtime(path) < os.path.getmtime(last):
            model, _ = load_checkpoint(last)
            if n not in ARMS:
                torch.manual_seed(a.seed + 1)
                model = untrained(model, 1 if n == RANDOM else DEPTH)
            export(model, n, path)
    return {**out, SUPERVISED: a.model}


def untrained(like, blocks):
    """Random weights that read log-mels of the same moments."""
    model = Encoder(replace(like.config, blocks=blocks))
    model.mel_mean.copy_(like.mel_mean)
    model.mel_istd.copy_(like.mel_istd)
    return model.eval()


# ---- features ---------------------------------------------------------------------------------

def of_clip(clip, x, rng, depths):
    """x: [layers, T, D], the first from layer 1; depths: those of which all frames are kept."""
    labels = frame_labels(clip.align, x.shape[1])
    pick = rng.permutation(len(labels))[:PER_CLIP]
    return {"frame.x": x[:, pick].astype(np.float16), "frame.y": labels[pick], "whole.y": labels,
            "whole.x": x[[d - 1 for d in depths]].astype(np.float16)}


def mels(clip):
    """[1, T, 160]: two frames of 10 ms make one of the engine's"""
    x = log_mel(sf.read(clip.path, dtype="float32")[0])
    return x[:len(x) // 2 * 2].reshape(1, -1, 160)


def heard(a, name, model, clips, depths):
    """What is kept of clips: frames of all layers, all frames of some, and which clip each is of."""
    rng, parts = np.random.default_rng(1), {}
    order = sorted(range(len(clips)), key=lambda i: os.path.getsize(clips[i].path))
    if name == MEL:
        found = ((clip, mels(clip)) for clip in (clips[i] for i in order))
    else:
        layers = range(1, DEPTH + 1)
        engine = Engine(model, a.lib, hidden_frames=DEPTH * 1024)
        found = ((clip, np.stack([hidden[n] for n in layers]))
                 for clip, (_, _, hidden) in engine.hear_layers([clips[i] for i in order], layers, DEPTH, CHUNK))
    for i, (clip, x) in zip(order, found):
        parts[i] = of_clip(clip, x, rng, depths)
    return frozen.gathered([parts[i] for i in range(len(clips))], ("frame", "whole"))


def depths_of(a, name):
    """At which a recogniser learns; of log-mels there is one."""
    return (1,) if name == MEL else tuple(a.depths)


def features(a, name, model, lists):
    """{list: what is kept of it}"""
    depths, key = depths_of(a, name), MEL if name == MEL else frozen.sha_of(model)
    return {of: frozen.kept(a.out, "heard", [key, depths, PER_CLIP, [c.path for c in clips]],
                            lambda clips=clips: heard(a, name, model, clips, depths)) for of, clips in lists.items()}


# ---- what is read off them --------------------------------------------------------------------

def probes(found, judges):
    """The matrix of probe.py, and of each depth's own probe the frames of speech by speaker and how many it had right."""
    x, z = (frozen.tensor(found[of]["frame.x"]) for of in ("learn", "judge"))
    y, t = (torch.from_numpy(found[of]["frame.y"]) for of in ("learn", "judge"))
    readers = [fit(h, y, len(PHONES)) for h in x]
    said = [[r(h) for h in z] for r in readers]
    speech, who = (t != 0).numpy(), frozen.speakers_of(judges)[found["judge"]["frame.of"]]
    own = [np.stack([np.bincount(who, speech), np.bincount(who, speech & (s[d] == t).numpy())], 1) for d, s in enumerate(said)]
    return dict(probe=[[accuracy(s, t) for s in row] for row in said], own=[o.tolist() for o in own])


def clips_of(found, place, targets):
    """[(features [T, D], labels)] of all clips, in order"""
    x, of = frozen.tensor(found["whole.x"][place]), found["whole.of"]
    ends = np.searchsorted(of, np.arange(len(targets)), "right")
    return list(zip(torch.tensor_split(x, torch.from_numpy(ends[:-1])), targets))


def recognised(a, found, lists, targets, place, labels):
    """[speakers, 2]: labels, and edits of a recogniser that learnt on one depth"""
    model = ctc.learn(clips_of(found["learn"], place, targets["learn"]), labels, a.epochs)
    counts = [(len(y), edits(y, ctc.read(model, x))) for x, y in clips_of(found["judge"], place, targets["judge"])]
    return frozen.by_speaker(np.array(counts), lists["judge"]).tolist()


def judged(a, name, model, lists, targets, recognise):
    """What is read off one model's features, the recognisers' error rates if asked for; kept in a.out."""
    path = os.path.join(a.out, f"judged-{name}.json")
    key = [MEL if name == MEL else frozen.sha_of(model), a.epochs, {of: [c.path for c in clips] for of, clips in lists.items()}]
    done = dict(key=key)
    if os.path.exists(path):
        with open(path) as f:
            kept = json.load(f)
        done = kept if kept["key"] == key else done
    found = []

    def once(what, make):
        if what in done or a.table:
            return
        if not found:
            found.append(features(a, name, model, {of: lists[of] for of in lists if name != RANDOM_12 or of == "judge"}))
        done[what] = make(found[0])
        keep(path, done)
        print(name, what, told(done[what]) if "|" in what else "", flush=True)

    if name != MEL:
        once("similar", lambda f: similarities(frozen.tensor(f["judge"]["frame.x"]), every=2))
    if name != RANDOM_12:
        once("probes", lambda f: probes(f, lists["judge"]))
    for place, depth in enumerate(depths_of(a, name) if recognise and name != RANDOM_12 else ()):
        for target, labels in TARGETS.items():
            once(f"{target}|{depth}", lambda f: recognised(a, f, lists, targets[target], place, labels))
    return done


def costs(a, files):
    """{name: CPU ms a second of audio at depths 1 to 12}, median of rounds in which all take turns."""
    return depth_costs({n: (Engine(files[n], a.lib), DEPTH) for n in ARMS}, 4, a.rounds)


def write_model(a, file, found):
    """`uniform` with its last layer's probe as head; what the decoder needs is that of a.model, whose logits have a temperature."""
    model, _ = load_checkpoint(os.path.join(a.out, UNIFORM, "last.pt"))
    w, b = regression(frozen.tensor(found["learn"]["whole.x"][a.depths.index(DEPTH)]), torch.from_numpy(found["learn"]["whole.y"]), len(PHONES))
    model.head.weight.data, model.head.bias.data = w, b
    export(model, "shoal-ssl", file, {k: v for k, v in decoder_of(a.model).items() if k.startswith("decoder.")}, "f16")


# ---- the document -----------------------------------------------------------------------------

def told(sums):
    """Share in percent of [speakers, (of, how many)] with its interval; nothing where there is none."""
    return intervals.told(intervals.share(np.array(sums))) if sums else ""


def right(r, name, depth):
    """Percent of the frames of speech that the depth's own probe has right."""
    of, hit = np.sum(r["models"][name]["probes"]["own"][depth - 1], 0)
    return 100 * hit / of


def main_table(r):
    lines = []
    for name, m in r["models"].items():
        if "probes" in m:
            deepest = str(max(r["depths"])) if name != MEL else "1"
            t = r["training"].get(name, {})
            lines.append([f"`{name}`", f"{m['parameters']:,}" if m["parameters"] else "", f"{t['cpu_seconds'] / t['steps']:.2f}" if t else "",
                          f"{r['cost'][name][DEPTH - 1]:.1f}" if t else "", told(m["probes"]["own"][-1]),
                          *(told(m.get(f"{target}|{deepest}")) for target in TARGETS)])
    return rows(["features of the last layer", "parameters", "CPU seconds a training step", "streaming, CPU ms a second of audio",
                 "frames right by a linear probe, %", "PER of the recogniser, %", "CER, %"], lines)


def depth_tables(r):
    probe = rows(["frames right by a probe of its own, %", *range(1, DEPTH + 1)],
                 [[f"`{n}`", *(f"{right(r, n, d):.1f}" for d in range(1, DEPTH + 1))] for n, m in r["models"].items()
                  if "probes" in m and n != MEL])
    cost = rows(["streaming, CPU ms a second of audio", *range(1, DEPTH + 1)], [[f"`{n}`", *(f"{v:.1f}" for v in c)] for n, c in r["cost"].items()])
    read = rows(["error rate of a recogniser, %", *(f"{t}, depth {d}" for t in TARGETS for d in r["depths"])],
                [[f"`{n}`", *(told(m.get(f"{t}|{d}")) for t in TARGETS for d in r["depths"])] for n, m in r["models"].items()
                 if n != MEL and "probes" in m])
    return "\n\n".join((probe, read, cost))


def apart_mean(matrix):
    """Mean over pairs of different layers."""
    m = np.array(matrix)
    return float(m[~np.eye(len(m), dtype=bool)].mean())


def transfer(m):
    """What probes read at other depths, relative to what those depths' own probes read."""
    p = np.array(m["probes"]["probe"])
    return apart_mean(p / np.diag(p)[None])


def similar_table(r):
    lines = []
    for n, m in r["models"].items():
        if "similar" in m:
            matrices = [m["similar"][k] for k in MEASURES]
            lines.append([f"`{n}`", *(f"{apart_mean(s):.2f} ({s[0][-1]:.2f}, {s[DEPTH // 2 - 1][-1]:.2f})" for s in matrices),
                          f"{100 * transfer(m):.0f} %" if "probes" in m else ""])
    return rows(["mean over all pairs of layers (1 and 12, 6 and 12)", *MEASURES.values(), "a probe at another depth, of that depth's own"], lines)


def holds(claim, held, measured):
    """held: None where this cannot be told."""
    return f"*{claim}* {'cannot be told here' if held is None else 'holds' if held else 'does not hold'}: {measured}."


def best_depth(r, name):
    return max(range(1, DEPTH + 1), key=lambda d: right(r, name, d))


def more(r, one, other):
    """Points that a probe has more frames right, (model, depth) each, with its interval."""
    return intervals.apart(*(np.array(r["models"][n]["probes"]["own"][d - 1]) for n, d in (one, other)))


def learnt(r):
    """Whether `uniform` is better than random weights, each at its best depth."""
    return more(r, *((n, best_depth(r, n)) for n in (UNIFORM, RANDOM)))[1] > 0


def costs_less(r):
    """The claims about weights and time."""
    models, cost = r["models"], r["cost"][UNIFORM]
    step = {n: t["cpu_seconds"] / t["steps"] for n, t in r["training"].items()}
    ratio = models[UNSHARED]["parameters"] / models[UNIFORM]["parameters"]
    saved, sampled = (100 * (1 - step[UNIFORM] / step[n]) for n in (UNSHARED, SHARED))
    shallow = max((d for d in range(1, DEPTH + 1) if cost[d - 1] <= (1 - 0.377) * cost[-1]), default=1)
    less = more(r, (UNIFORM, shallow), (UNIFORM, DEPTH))
    return [holds("7.8 times fewer parameters", ratio >= 7.8, f"{ratio:.1f} times"),
            holds("41.9 % of the training time saved", saved >= 41.9, f"{saved:.0f} % of the CPU time of a step of `{UNSHARED}`, of which the "
                  f"optimiser's share is large at such batches; sampling alone saves {sampled:.0f} % of that of `{SHARED}`"),
            holds("37.7 % of the inference saved, with comparable results", less[1] > -3 if learnt(r) else None,
                  f"depth {shallow} takes {100 * cost[shallow - 1] / cost[-1]:.0f} % of the time of depth {DEPTH}, and a probe there has "
                  f"{intervals.told(less, '+.1f')} points more frames right")]


def worth(r):
    """Whether anything was learnt, and by whom."""
    beside = {n: more(r, (UNIFORM, DEPTH), (n, DEPTH)) for n in (SHARED, UNSHARED, RANDOM)}
    points = {n: intervals.told(v, "+.1f") for n, v in beside.items()}
    best = {n: best_depth(r, n) for n in (*ARMS, RANDOM, SUPERVISED)}
    return [holds("Comparable with an unshared stack", beside[UNSHARED][2] >= 0 if learnt(r) else None,
                  f"at depth {DEPTH} a probe has {points[UNSHARED]} points more frames right on `{UNIFORM}` than on `{UNSHARED}`, "
                  f"{points[SHARED]} than on `{SHARED}`, {points[RANDOM]} than on `{RANDOM}`"),
            holds("More than no training gives", learnt(r), f"log-mels give {right(r, MEL, 1):.1f} %, the depths that are best "
                  + ", ".join(f"{right(r, n, d):.1f} % (`{n}`, depth {d})" for n, d in best.items()))]


def consistent(r):
    """Is it sharing or sampling that makes layers alike?"""
    models = {n: m for n, m in r["models"].items() if "similar" in m}
    like, cka = ({n: apart_mean(m["similar"][k]) for n, m in models.items()} for k in ("cosine", "cka"))
    moves = {n: 100 * transfer(m) for n, m in models.items() if "probes" in m}
    shared, sampled = ([x[m] - x[n] for x in (like, cka, moves)] for n, m in ((UNSHARED, SHARED), (SHARED, UNIFORM)))
    first = "sharing" if shared[2] > sampled[2] else "sampling"
    return [f"Sharing or sampling? By sharing, from `{UNSHARED}` to `{SHARED}`, the mean cosine of two layers changes by {shared[0]:+.2f}, "
            f"their CKA by {shared[1]:+.2f}, and what a probe keeps that moves to another depth by {shared[2]:+.0f} points; by sampling, from "
            f"there to `{UNIFORM}`, by {sampled[0]:+.2f}, {sampled[1]:+.2f} and {sampled[2]:+.0f}. So {first} does more for who reads another "
            f"depth. Weights that learnt nothing have a cosine of {like[RANDOM]:.2f} and a CKA of {cka[RANDOM]:.2f} with one block (probes "
            f"keep {moves[RANDOM]:.0f} %), {like[RANDOM_12]:.2f} and {cka[RANDOM_12]:.2f} with twelve."]


def budget(r):
    t, arms = r["training"][UNIFORM], r["training"].items()
    heard, cpu = t["steps"] * t["audio_seconds"], sum(s["cpu_seconds"] for _, s in arms)
    names = [f"`{n}` {100 * s['right']['masked']:.1f} and {100 * s['right']['seen']:.1f} %" for n, s in arms]
    return wrap(f"`training/selfsup.py`, {r['date']}. The budget is tiny: {t['steps']} steps of about {t['audio_seconds']:.0f} s of audio, "
                f"that is {heard / 60:.0f} minutes heard of {t['hours']:.1f} hours of speech, one seed, {cpu / 60:.1f} CPU minutes for the three "
                f"arms together; the paper has LibriSpeech. Encoders of {r['dim']} dimensions (the supervised one: 256), {t['units']} units; "
                f"named rightly at the end, of the frames that were masked and of the others (whose loss weighs {r['seen']:g} beside theirs): "
                f"{', '.join(names)}. Probes and recognisers learnt on {r['clips']['learn']} clips; {r['clips']['judge']} clips of dev and "
                "devcv judge, in brackets 95 % of 2,000 draws of their speakers.")


def document(r):
    return "\n\n".join((budget(r), main_table(r), depth_tables(r), similar_table(r), "![](selfsup.png)",
                        "\n".join("- " + f for f in costs_less(r) + worth(r) + consistent(r))))


def picture(r, path):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    names = [n for n, m in r["models"].items() if "similar" in m and "probes" in m]
    figure, axes = plt.subplots(2, len(names), figsize=(3.1 * len(names), 6.2))
    for column, n in zip(axes.T, names):
        for axis, (what, m) in zip(column, (("cosine", r["models"][n]["similar"]["cosine"]), ("probe", r["models"][n]["probes"]["probe"]))):
            axis.imshow(np.array(m), vmin=0, vmax=1 if what == "cosine" else 0.6, cmap="viridis")
            axis.set_xticks(range(0, DEPTH, 2), range(1, DEPTH + 1, 2))
            axis.set_yticks(range(0, DEPTH, 2), range(1, DEPTH + 1, 2))
            axis.set_title(f"{n}: " + ("mean cosine" if what == "cosine" else "probe of row read at column"), fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=70)


# ---- all of it --------------------------------------------------------------------------------

def arguments():
    ap = options(__doc__)
    ap.set_defaults(units=100, seen=1.0)    # as HuBERT's first iteration has; so small a budget learns little from masked frames alone
    ap.add_argument("--speech", default="../../shared/speech")
    ap.add_argument("--model", default=frozen.BUILT_IN, help="the supervised one")
    ap.add_argument("--lib")
    ap.add_argument("--clips", type=int, default=100, help="that probes and recognisers learn from")
    ap.add_argument("--limit", type=int, default=24, help="clips of each of dev and devcv")
    ap.add_argument("--depths", type=int, nargs="*", default=(3, 12), help="at which a recogniser learns")
    ap.add_argument("--epochs", type=int, default=12, help="of a recogniser")
    ap.add_argument("--rounds", type=int, default=3, help="of the clock")
    ap.add_argument("--table", action="store_true", help="of what has been read off the features so far")
    ap.add_argument("--model-out", help="where to write the served model")
    ap.add_argument("--json", default=os.path.join(RESULTS, "selfsup.json"))
    ap.add_argument("--into", help="a document with markers; the picture goes beside it")
    return ap.parse_args()


def clip_lists(a):
    """({"learn", "judge": clips}, {target: {list: labels of each}})"""
    lists = frozen.clip_lists(a.speech, a.limit)
    lists = dict(learn=frozen.spread(lists["learn"], a.clips), judge=lists["judge"])
    text = {os.path.join(a.speech, row["path"]): row["text"] for row in read_manifest(a.speech)}
    return lists, dict(phones={of: [[p for p, _, _ in c.align if p] for c in clips] for of, clips in lists.items()},
                       letters={of: [ctc.spelt(text[c.path]) for c in clips] for of, clips in lists.items()})


def rounded(x):
    if isinstance(x, float):
        return round(x, 4)
    return {k: rounded(v) for k, v in x.items()} if isinstance(x, dict) else [rounded(v) for v in x] if isinstance(x, list) else x


def main():
    a = arguments()
    torch.set_num_threads(1)
    lists, targets = clip_lists(a)
    training, files = trained(a), {**model_files(a), MEL: None}
    for recognise in (False, True):         # what is cheap comes first
        models = {n: {**judged(a, n, file, lists, targets, recognise), "parameters": file_facts(file)[1] if file else 0}
                  for n, file in files.items()}
    r = dict(date=str(datetime.date.today()), dim=a.dim, seen=a.seen, depths=list(a.depths),
             clips={of: len(c) for of, c in lists.items()}, training=training, models=models)
    for m in r["models"].values():
        m.pop("key")
    if a.model_out:
        write_model(a, a.model_out, features(a, UNIFORM, files[UNIFORM], lists))
    r["cost"] = costs(a, files)
    with open(a.json, "w") as f:
        f.write(json.dumps(rounded(r)) + "\n")
    if a.into:
        picture(r, os.path.join(os.path.dirname(a.into), "selfsup.png"))
        insert(a.into, "selfsup.py", document(r))


if __name__ == "__main__":
    main()
