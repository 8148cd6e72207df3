/** Cost against services and proxies as an SVG: two panels of bars, a colour for each number of proxies. */
import type { ControlResult } from './measure.ts';

const WIDTH = 760;
const PANEL = { height: 190, left: 70, top: 40, gap: 75 };
const COLOURS = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee'];

interface Panel {
  readonly title: string;
  readonly value: (result: ControlResult) => number;
}

const cpuOf = (what: string) => (result: ControlResult) => {
  const costs = result.changes.filter((change) => change.what === what).map(({ cpuMs }) => cpuMs);
  return costs.length === 0 ? Number.NaN : Math.min(...costs);
};

const PANELS: readonly Panel[] = [
  { title: 'CPU of the cold start of all proxies, s', value: ({ coldCpuMs }) => coldCpuMs / 1000 },
  { title: 'CPU of a change of one endpoint, ms (least of those measured)', value: cpuOf('endpoint') },
  { title: 'resident memory, MB', value: ({ residentMb }) => residentMb },
];

/** The figures of one run of the bench. */
export function plotOf(results: readonly ControlResult[]): string {
  const services = [...new Set(results.map(({ scenario }) => scenario.services))].sort((a, b) => a - b);
  const proxies = [...new Set(results.map(({ scenario }) => scenario.proxies))].sort((a, b) => a - b);
  const height = PANEL.top + PANELS.length * (PANEL.height + PANEL.gap);
  const used = results[0]?.scenario.uses;
  const how = used === undefined ? 'all proxies are sent all services' : `each proxy uses ${used} services, on demand`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    '<title>CPU and memory of the control plane by services and proxies</title>',
    `<rect width="100%" height="100%" fill="#ffffff"/>`,
    text(PANEL.left, 18, `Cost of the control plane by services and proxies; ${how}`, 'font-weight="bold"'),
    ...proxies.flatMap((count, i) => [
      `<rect x="${PANEL.left + i * 120}" y="26" width="10" height="10" fill="${COLOURS[i % COLOURS.length]}"/>`,
      text(PANEL.left + 15 + i * 120, 35, `${count} proxies`),
    ]),
    ...PANELS.flatMap((panel, i) =>
      panelOf(panel, PANEL.top + 30 + i * (PANEL.height + PANEL.gap), { results, services, proxies }),
    ),
    '</svg>\n',
  ].join('\n');
}

interface Axes {
  readonly results: readonly ControlResult[];
  readonly services: readonly number[];
  readonly proxies: readonly number[];
}

function panelOf({ title, value }: Panel, top: number, { results, services, proxies }: Axes): string[] {
  const values = results.map(value).filter(Number.isFinite);
  const most = Math.max(...values, 1e-9);
  const bottom = top + PANEL.height;
  const group = (WIDTH - PANEL.left - 20) / services.length;
  const bar = (group - 30) / proxies.length;
  const lines = [0, 0.5, 1].flatMap((part) => {
    const y = bottom - part * (PANEL.height - 20);
    return [
      `<line x1="${PANEL.left}" x2="${WIDTH - 20}" y1="${y}" y2="${y}" stroke="#dddddd"/>`,
      text(PANEL.left - 6, y + 4, short(most * part), 'text-anchor="end"'),
    ];
  });
  const bars = services.flatMap((count, s) => {
    const left = PANEL.left + s * group + 15;
    return [
      text(left + (group - 30) / 2, bottom + 16, `${count} services`, 'text-anchor="middle"'),
      ...proxies.flatMap((number, p) => {
        const found = results.find(({ scenario }) => scenario.services === count && scenario.proxies === number);
        const its = found ? value(found) : Number.NaN;
        if (!Number.isFinite(its)) return [];
        const high = (its / most) * (PANEL.height - 20);
        const x = left + p * bar;
        return [
          `<rect x="${x}" y="${bottom - high}" width="${bar - 4}" height="${high}" fill="${COLOURS[p % COLOURS.length]}"/>`,
          text(x + bar / 2 - 2, bottom - high - 4, short(its), 'text-anchor="middle" font-size="10"'),
        ];
      }),
    ];
  });
  return [text(PANEL.left, top + 2, title), ...lines, ...bars];
}

const short = (value: number): string => (value >= 10 ? value.toFixed(0) : value.toFixed(1));

function text(x: number, y: number, content: string, attributes = ''): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${escaped}</text>`;
}
