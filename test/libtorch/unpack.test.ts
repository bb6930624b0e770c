import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { type Layout, unpack } from '../../lib/libtorch/unpack.ts';
import { temporaryFolder } from './support/folders.ts';
import { writeZip } from './support/zip.ts';

/** Names as the real downloads have them, and where each goes. */
const CASES: readonly [Layout, Readonly<Record<string, string | undefined>>][] = [
  [
    'archive',
    {
      'libtorch/build-version': 'build-version',
      'libtorch/build-hash': 'build-hash',
      'libtorch/lib/libc10.so': 'lib/libc10.so',
      'libtorch/lib/libtorch_cpu.so': 'lib/libtorch_cpu.so',
      'libtorch/lib/libgomp-98b21ff3.so.1': 'lib/libgomp-98b21ff3.so.1',
      'libtorch/lib/libdnnl.a': undefined,
      'libtorch/lib/libjitbackend_test.so': undefined,
      'libtorch/bin/protoc': undefined,
      'libtorch/share/cmake/Torch/TorchConfig.cmake': undefined,
      'libtorch/include/torch/script.h': 'include/torch/script.h',
      'libtorch/include/': undefined,
    },
  ],
  [
    'torch-wheel',
    {
      'torch/version.py': 'torch/version.py',
      'torch/__init__.py': undefined,
      'torch/utils/version.py': undefined,
      'torch/lib/libc10.so': 'torch/lib/libc10.so',
      'torch/lib/libtorch_cuda.so': 'torch/lib/libtorch_cuda.so',
      'torch/lib/libtorch_python.so': undefined,
      'torch/lib/libshm/alloc_info.h': undefined,
      'torch/_C.cpython-311-x86_64-linux-gnu.so': undefined,
      'torch/include/ATen/ATen.h': 'torch/include/ATen/ATen.h',
      'torch/test/lib/libtest.so': undefined,
      'torch.libs/libopenblas-0.so': 'torch.libs/libopenblas-0.so',
      'torch-2.13.0.dist-info/licenses/LICENSE': 'torch-2.13.0.dist-info/licenses/LICENSE',
      'torch-2.13.0.dist-info/RECORD': undefined,
    },
  ],
  [
    'torch-wheel-cpu',
    {
      'torch/version.py': 'torch/version.py',
      'torch/lib/libc10.so': 'torch/lib/libc10.so',
      'torch/lib/libtorch_cpu.so': 'torch/lib/libtorch_cpu.so',
      'torch/lib/libgomp.so.1': 'torch/lib/libgomp.so.1',
      'torch/lib/libc10_cuda.so': undefined,
      'torch/lib/libtorch_cuda.so': undefined,
      'torch/lib/libtorch_cuda_linalg.so': undefined,
      'torch/lib/libtorch_nvshmem.so': undefined,
      'torch/lib/libtorch.so': undefined,
      'torch/lib/libtorch_python.so': undefined,
    },
  ],
  [
    'nvidia-wheel',
    {
      'nvidia/cu13/lib/libcudart.so.13': 'nvidia/cu13/lib/libcudart.so.13',
      'nvidia/cu13/include/cuda.h': undefined,
      'nvidia/cudnn/lib/libcudnn.so.9': 'nvidia/cudnn/lib/libcudnn.so.9',
      'nvidia_nccl_cu13-2.29.7.data/purelib/nvidia/nccl/lib/libnccl.so.2': 'nvidia/nccl/lib/libnccl.so.2',
      'nvidia/__init__.py': undefined,
      'nvidia_cudnn_cu13-9.20.dist-info/License.txt': 'nvidia_cudnn_cu13-9.20.dist-info/License.txt',
    },
  ],
];

function filesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

describe('unpacking', () => {
  for (const [layout, names] of CASES) {
    it(`keeps what is needed of a download laid out as ${layout}`, async () => {
      const folder = temporaryFolder();
      const file = path.join(folder, 'download.zip');
      writeZip(file, Object.fromEntries(Object.keys(names).map((name) => [name, `content of ${name}`])));
      const target = path.join(folder, 'out');
      const libraries = await unpack(file, layout, target);
      const wanted = Object.entries(names).filter((pair): pair is [string, string] => pair[1] !== undefined);
      assert.deepEqual(filesIn(target), wanted.map(([, place]) => place).sort());
      for (const [name, place] of wanted) {
        assert.equal(readFileSync(path.join(target, place), 'utf8'), `content of ${name}`);
      }
      assert.deepEqual(
        libraries.map((library) => library.path).sort(),
        wanted
          .map(([, place]) => place)
          .filter((place) => place.includes('.so'))
          .sort(),
      );
    });
  }

  it('reports sizes and hashes of the libraries, and how far it is', async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'download.zip');
    const library = Buffer.alloc(200_000, 'library');
    writeZip(file, { 'torch/version.py': '12345', 'torch/lib/libc10.so': library });
    const events: (readonly [number, number])[] = [];
    const libraries = await unpack(file, 'torch-wheel', path.join(folder, 'out'), {
      onProgress: (...event) => events.push(event),
    });
    const sha256 = createHash('sha256').update(library).digest('hex');
    assert.deepEqual(libraries, [{ path: 'torch/lib/libc10.so', bytes: 200_000, sha256 }]);
    assert.deepEqual(events.at(-1), [200_005, 200_005]);
  });

  it('refuses names that lead out of the folder', async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'download.zip');
    writeZip(file, { 'torch/include/../../../outside.h': 'escaped' });
    await assert.rejects(unpack(file, 'torch-wheel', path.join(folder, 'out')), {
      code: 'ERR_DOWNLOAD',
      message: /invalid relative path/,
    });
    assert.deepEqual(readdirSync(folder), ['download.zip']);
  });

  it('refuses what is no archive, and an archive that is cut', async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'download.zip');
    writeFileSync(file, '<html>Sign in to the network</html>');
    await assert.rejects(unpack(file, 'archive', path.join(folder, 'out')), { code: 'ERR_DOWNLOAD' });
    writeZip(file, { 'libtorch/lib/libc10.so': Buffer.alloc(10_000, 'x') });
    writeFileSync(file, readFileSync(file).subarray(0, 60));
    await assert.rejects(unpack(file, 'archive', path.join(folder, 'out')), { code: 'ERR_DOWNLOAD' });
  });

  it('ends with the reason of an abort', async () => {
    const folder = temporaryFolder();
    const file = path.join(folder, 'download.zip');
    writeZip(file, {
      'libtorch/lib/libc10.so': Buffer.alloc(1000),
      'libtorch/lib/libtorch_cpu.so': Buffer.alloc(1000),
    });
    const stop = new AbortController();
    const onProgress = () => stop.abort(new Error('stopped'));
    await assert.rejects(
      unpack(file, 'archive', path.join(folder, 'out'), { signal: stop.signal, onProgress }),
      /stopped/,
    );
  });
});
