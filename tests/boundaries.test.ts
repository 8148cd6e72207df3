import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** Which folders a folder may not import from, and why. `runtime` means node:*, bun:*, Bun and Deno. */
const rules: { from: RegExp; except?: RegExp; never: RegExp; why: string }[] = [
  {
    from: /^shared\//,
    never: /^(control|edge-proxy|machine|deploy|tests)\//,
    why: 'shared is what both planes agree on',
  },
  { from: /^shared\//, never: /^(node:|bun:)/, why: 'shared runs in every runtime, browser included' },
  {
    from: /^edge-proxy\//,
    never: /^(control|machine|deploy|tests)\//,
    why: 'the proxy knows the control plane only by its API, and takes the machine as it is',
  },
  {
    from: /^machine\//,
    never: /^(control|edge-proxy|deploy|tests)\//,
    why: 'what sets up a machine starts the proxy as a process',
  },
  {
    from: /^control\//,
    except: /^control\/cli\//,
    never: /^(edge-proxy|machine)\//,
    why: 'the control plane knows proxies only by xDS',
  },
  {
    from: /^edge-proxy\//,
    except: /^edge-proxy\/(runtime\/|x509\/|envoy\/|main\.ts$)/,
    never: /^(node:|bun:|cloudflare:)/,
    why: 'the proxy core takes its runtime as an argument',
  },
  {
    from: /^edge-proxy\/x509\//,
    never: /^(node:(?!crypto$|buffer$)|bun:|cloudflare:)|^edge-proxy\/(?!x509\/)/,
    why: 'certificate rules need bytes and signatures, nothing of the proxy',
  },
  {
    from: /^control\/compile\//,
    never: /^control\/(store|api|discovery|ca|cli)\//,
    why: 'compile is a pure function of (MeshView, node)',
  },
  {
    from: /^control\/mesh\//,
    never: /^control\/(api|compile|discovery|ca|cli)\//,
    why: 'mesh follows the store alone',
  },
  {
    from: /^edge-proxy\/(http|upstream|listener|tcp|telemetry)\//,
    never: /^edge-proxy\/(xds|control-client|settings|dns)\//,
    why: 'traffic runs on compiled values and does not know where they came from',
  },
  { from: /^control\/store\//, never: /^control\/(?!store\/)/, why: 'a store knows resources and nothing above' },
  { from: /^control\/(discovery|ca)\//, never: /^control\/(api|cli)\//, why: 'routes call services, not the reverse' },
  { from: /^(control|edge-proxy|machine|shared)\//, never: /^tests\//, why: 'the product does not import its tests' },
];

/**
 * The layers inside a plane, lowest first. A file imports from its own layer and from lower ones; a folder belongs to the
 * longest prefix that names it. Folders of one layer may import each other.
 */
const planes: Record<string, string[][]> = {
  'edge-proxy/': [
    ['config-error.ts', 'event.ts', 'weak-values.ts', 'protobuf/'],
    ['x509/'],
    ['runtime/'],
    ['settings/'],
    ['http/message/', 'http/grpc/'],
    ['http/codec/'],
    ['upstream/'],
    // A request holds its route, and a route is a function of a request.
    ['http/request/', 'http/routing/'],
    ['attributes/', 'cel/', 'listener/', 'overload/', 'tcp/', 'telemetry/'],
    ['http/headers/'],
    ['http/filters/', 'http/router/', 'http/side-call/'],
    ['http/exchange/'],
    ['http/downstream/'],
    ['control-client/', 'dns/', 'tunnel/'],
    ['xds/'],
    ['admin/'],
    ['proxy.ts', 'static.ts'],
    ['workload-probe.ts', 'mesh-dns.ts', 'own-address.ts', 'kept-address.ts'],
    ['tunnels.ts'],
    [
      'mesh-proxy.ts',
      'workers/',
      'assemble.ts',
      'application-environment.ts',
      'hot-restart.ts',
      'run.ts',
      'watch-open-ports.ts',
    ],
    ['envoy/'],
    // The edge worker is an entrance of its own: it puts a proxy together for one isolate.
    ['runtime/worker/'],
    ['main.ts'],
  ],
  'control/': [
    ['store/'],
    // What happens, as the log and the metrics have it; the messages of Envoy's API.
    ['telemetry/', 'envoy-api/'],
    ['ca/'],
    ['mesh/'],
    // Helpers, and the output of a compilation.
    ['compile/memo.ts', 'compile/names.ts', 'compile/wire.ts', 'compile/durations.ts', 'compile/output/'],
    ['compile/patches/'],
    // Who a proxy is, and what its configuration sees.
    ['compile/scope/'],
    [
      'compile/cluster/',
      'compile/dns/',
      'compile/envoy-filter/',
      'compile/gateway/',
      'compile/plugins/',
      'compile/routes/',
      'compile/security/',
      'compile/sidecar/',
      'compile/telemetry/',
    ],
    ['compile/node/'],
    ['workloads/'],
    ['discovery/', 'jwks/', 'lifecycle/', 'status/', 'join/', 'events/', 'rollout/'],
    // Discovery in Envoy's own protocols.
    ['xds/'],
    // Users of the API, and what they may do.
    ['access/'],
    ['audit/'],
    ['api/'],
    // What a control plane keeps besides resources: in files, or in the store.
    ['records/'],
    ['share-work.ts', 'control-plane.ts', 'restoring.ts'],
    ['cli/', 'docs/'],
  ],
};

/** Imports against the layers that stand: each is to be removed, none may be added. */
const debts: string[] = [];

/** The layer of a file: its number, or undefined where no folder names it. */
function layerOf(plane: string, file: string): number | undefined {
  const rest = file.slice(plane.length);
  let found: { layer: number; length: number } | undefined;
  planes[plane]!.forEach((folders, layer) => {
    for (const folder of folders) {
      const belongs = folder.endsWith('/') ? rest.startsWith(folder) : rest === folder;
      if (belongs && folder.length > (found?.length ?? 0)) found = { layer, length: folder.length };
    }
  });
  return found?.layer;
}

/** Test support may import from anywhere in its plane. */
function isTestSupport(file: string): boolean {
  return file.includes('/testing/');
}

function withTests(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name) && !/\.d\.m?ts$/.test(entry.name))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

function sources(folder: string): string[] {
  return withTests(folder).filter((file) => !file.endsWith('.test.ts'));
}

function imports(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const found = [...text.matchAll(/(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g)].map((match) => match[1] ?? '');
  return found.map((name) => (name.startsWith('.') ? relative(root, resolve(root, dirname(file), name)) : name));
}

describe('import boundaries', () => {
  const files = ['shared', 'control', 'edge-proxy', 'machine'].flatMap(sources);

  it('sees the source tree', () => expect(files.length).toBeGreaterThan(20));

  it.each(rules)('$from never imports $never: $why', ({ from, except, never }) => {
    const broken = files
      .filter((file) => from.test(file) && !except?.test(file))
      .flatMap((file) =>
        imports(file)
          .filter((name) => never.test(name))
          .map((name) => `${file} imports ${name}`),
      );
    expect(broken).toEqual([]);
  });

  it.each(Object.keys(planes))('%s: every file has a layer', (plane) => {
    const product = files.filter((file) => file.startsWith(plane) && !isTestSupport(file));
    expect(product.filter((file) => layerOf(plane, file) === undefined)).toEqual([]);
    // A name that matches no file is out of date.
    const named = planes[plane]!.flat();
    expect(named.filter((name) => !product.some((file) => file.startsWith(plane + name)))).toEqual([]);
  });

  it('a file imports from its own layer and from lower ones; the list of debts is exact', () => {
    const upward = Object.keys(planes).flatMap((plane) =>
      files
        .filter((file) => file.startsWith(plane) && !isTestSupport(file))
        .flatMap((file) =>
          [...new Set(imports(file))]
            .filter((name) => name.startsWith(plane) && layerOf(plane, name)! > layerOf(plane, file)!)
            .map((name) => `${file} imports ${name}`),
        ),
    );
    expect(upward.sort()).toEqual([...debts].sort());
  });

  it('product files do not import test support', () => {
    const broken = files
      .filter((file) => !isTestSupport(file))
      .flatMap((file) =>
        imports(file)
          .filter((name) => isTestSupport(name))
          .map((name) => `${file} imports ${name}`),
      );
    expect(broken).toEqual([]);
  });

  it('tests take processes, meshes and ports from tests/kit, which alone takes them from deploy/local', () => {
    const broken = ['shared', 'control', 'edge-proxy', 'machine', 'tests']
      .flatMap(withTests)
      .filter((file) => !file.startsWith('tests/kit/'))
      .flatMap((file) =>
        imports(file)
          .filter((name) => /^deploy\/(demo|local)\//.test(name))
          .map((name) => `${file} imports ${name}`),
      );
    expect(broken).toEqual([]);
  });

  it('only the kit starts processes for tests, and only launchers do in the product', () => {
    const launchers = [
      'control/cli/bin.mjs',
      'control/cli/encryption/encryption-keys.ts',
      'deploy/build.ts',
      'deploy/container/image.ts',
      'deploy/executable.ts',
      'deploy/install-files.ts',
      'deploy/local/program.ts',
      'edge-proxy/envoy/envoy-process.ts',
      'edge-proxy/runtime/process/application.ts',
      'edge-proxy/runtime/process/command.ts',
      'edge-proxy/runtime/process/service-manager.ts',
      'edge-proxy/runtime/process/successor.ts',
      'edge-proxy/runtime/workers.ts',
      'tests/bench/control/run.mjs',
      'tests/bench/run.mjs',
      'tests/check.mjs',
      'tests/kit/process.ts',
      'tests/run.mjs',
    ];
    const starting = ['shared', 'control', 'edge-proxy', 'deploy', 'tests']
      .flatMap(withTests)
      .filter((file) => file !== 'tests/boundaries.test.ts')
      .filter((file) => /node:child_process|\bBun\.spawn|\bDeno\.Command/.test(readFileSync(join(root, file), 'utf8')));
    expect(starting.sort()).toEqual(launchers);
  });

  it('no folder has more than 20 files besides its tests', () => {
    const width = new Map<string, number>();
    for (const file of ['shared', 'control', 'edge-proxy', 'deploy', 'tests'].flatMap(sources))
      width.set(dirname(file), (width.get(dirname(file)) ?? 0) + 1);
    expect([...width].filter(([, count]) => count > 20)).toEqual([]);
  });

  it('an HTTP filter is a folder and a line in the list of filters (docs/recipes.md)', () => {
    const home = 'edge-proxy/http/filters';
    const folders = readdirSync(join(root, home), { withFileTypes: true }).flatMap((one) =>
      one.isDirectory() ? [`${home}/${one.name}`] : [],
    );
    expect(folders.length).toBeGreaterThan(7);
    const users = folders.map((folder) => ({
      folder,
      users: files.filter(
        (file) => !file.startsWith(`${folder}/`) && imports(file).some((name) => name.startsWith(`${folder}/`)),
      ),
    }));
    // The network filters of the same names judge by the same rules.
    const network = ['edge-proxy/xds/compilers.ts'];
    expect(users).toEqual(
      folders.map((folder) => ({
        folder,
        users: [...(/\/(rbac|ext-authz)$/.test(folder) ? network : []), `${home}/index.ts`],
      })),
    );
  });

  it('the proxy core is given time and chance, and never asks the runtime itself', () => {
    const broken = sources('edge-proxy')
      .filter((file) => !/^edge-proxy\/(runtime\/|envoy\/|main\.ts$)|\/testing\//.test(file))
      .filter((file) =>
        /\b(Math\.random|Date\.now|performance\.now|new Date\(\))/.test(
          readFileSync(join(root, file), 'utf8').replace(/(\/\*[\s\S]*?\*\/|\/\/.*)/g, ''),
        ),
      );
    expect(broken).toEqual([]);
  });

  it('the proxy core names no runtime global', () => {
    const broken = sources('edge-proxy')
      .filter((file) => !/^edge-proxy\/(runtime\/|envoy\/|x509\/|main\.ts$)/.test(file))
      .filter((file) =>
        /\b(Bun|Deno|process|Buffer)\.\w/.test(
          readFileSync(join(root, file), 'utf8')
            .replace(/(\/\*[\s\S]*?\*\/|\/\/.*)/g, '')
            .replace(/\bruntime\.process\./g, ''),
        ),
      );
    expect(broken).toEqual([]);
  });
});
