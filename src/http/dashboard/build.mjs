/**
 * Builds the page's assets into `built/`, or with `--check` into a temporary folder, to compare them
 * with what is there. The same input gives the same bytes.
 */

import { build } from "esbuild";
import { mkdir, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const built = join(here, "built");

async function buildInto(folder) {
  const licence = (await readFile(join(here, "node_modules/uplot/LICENSE"), "utf8")).trim();
  const { version } = JSON.parse(await readFile(join(here, "node_modules/uplot/package.json"), "utf8"));
  const banner = `/*!\nContains uPlot ${version}:\n\n${licence}\n*/`;
  await mkdir(folder, { recursive: true });
  await build({
    absWorkingDir: here,
    entryPoints: { dashboard: "source/main.js" },
    outdir: folder,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "inline",
    banner: { js: banner, css: banner },
    logLevel: "warning",
  });
}

async function check() {
  const folder = await mkdtemp(join(tmpdir(), "dashboard-"));
  try {
    await buildInto(folder);
    const names = new Set([...(await readdir(folder)), ...(await readdir(built).catch(() => []))]);
    const read = (place, name) => readFile(join(place, name)).catch(() => Buffer.from("missing"));
    const differing = [];
    for (const name of names) {
      if (!(await read(folder, name)).equals(await read(built, name))) differing.push(name);
    }
    if (differing.length > 0) {
      process.stderr.write(`built/ is not what the source makes: ${differing.join(", ")}. Run npm run build.\n`);
      process.exitCode = 1;
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (process.argv.includes("--check")) await check();
else {
  await rm(built, { recursive: true, force: true });
  await buildInto(built);
}
