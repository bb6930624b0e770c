import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { loadTiny, SMALL, tinyFiles } from '../support/pipeline.ts';

const LONG = { ...SMALL, steps: 500 };

describe('abort', () => {
  it('rejects with the reason of the signal, within one step, and leaves the pipeline usable', async () => {
    const pipe = await loadTiny();
    const controller = new AbortController();
    const reason = new Error('enough');
    let steps = 0;
    const onProgress = ({ phase }: { phase: string }) => {
      if (phase === 'sample' && ++steps === 2) controller.abort(reason);
    };
    await assert.rejects(pipe.generate({ ...LONG, signal: controller.signal, onProgress }), reason);
    assert.ok(steps < 20, `stopped after ${steps} of 500 steps`);
    assert.equal((await pipe.generate(SMALL)).frameCount, 4);
    await pipe.close();
  });

  it('takes a waiting call out of the queue without touching the running one', async () => {
    const pipe = await loadTiny();
    const running = pipe.generate({ ...SMALL, steps: 20 });
    const controller = new AbortController();
    const waiting = pipe.generate({ ...LONG, signal: controller.signal });
    assert.equal(pipe.queueSize, 2);
    controller.abort();
    await assert.rejects(waiting, { name: 'AbortError' });
    assert.equal((await running).frameCount, 4);
    await pipe.close();
  });

  it('rejects at once when the signal is aborted already', async () => {
    const pipe = await loadTiny();
    await assert.rejects(pipe.generate({ ...LONG, signal: AbortSignal.abort() }), { name: 'AbortError' });
    await pipe.close();
    await assert.rejects(loadTiny({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  });

  it('is not lost between the call and its start on the other thread', async () => {
    const pipe = await loadTiny();
    for (let delay = 0; delay < 4; delay += 1) {
      const controller = new AbortController();
      const call = pipe.generate({ ...LONG, signal: controller.signal });
      for (let turn = 0; turn < delay; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      controller.abort();
      const begin = performance.now();
      await assert.rejects(call, { name: 'AbortError' });
      assert.ok(performance.now() - begin < 3000);
    }
    await pipe.close();
  });

  it('ends loading too, also when a callback throws', async () => {
    const controller = new AbortController();
    const abort = () => controller.abort();
    await assert.rejects(loadTiny({ signal: controller.signal, onProgress: abort }), { name: 'AbortError' });
    const thrown = new TypeError('in the callback');
    const onProgress = ({ phase }: { phase: string }) => {
      if (phase === 'weights') throw thrown;
    };
    await assert.rejects(loadTiny({ onProgress }), thrown);
  });

  it('ends a call whose progress callback throws, with what it threw', async () => {
    const pipe = await loadTiny();
    const thrown = new TypeError('in the callback');
    const onProgress = () => {
      throw thrown;
    };
    await assert.rejects(pipe.generate({ ...LONG, onProgress }), thrown);
    assert.equal((await pipe.generate(SMALL)).frameCount, 4);
    await pipe.close();
  });
});

describe('the queue', () => {
  it('runs calls in the order they were made', async () => {
    const pipe = await loadTiny();
    const order: number[] = [];
    await Promise.all(
      [3, 1, 2].map((steps) => pipe.generate({ ...SMALL, steps }).then(() => order.push(steps))),
    );
    assert.deepEqual(order, [3, 1, 2]);
    assert.equal(pipe.queueSize, 0);
    await pipe.close();
  });
});

describe('close', () => {
  it('ends the running and the waiting calls, and may be called twice', async () => {
    const pipe = await loadTiny();
    const calls = [pipe.generate(LONG), pipe.generate(LONG)];
    const settled = Promise.allSettled(calls);
    await Promise.all([pipe.close(), pipe.close()]);
    for (const result of await settled) {
      assert.equal(result.status === 'rejected' && result.reason.code, 'ERR_DISPOSED');
    }
    assert.equal(pipe.closed, true);
    await assert.rejects(pipe.generate(SMALL), { code: 'ERR_DISPOSED' });
    await assert.rejects(pipe.memory(), { code: 'ERR_DISPOSED' });
  });

  it('ends a bake too, without a file', async () => {
    const pipe = await loadTiny();
    const file = path.join(tinyFiles().folder, 'closed.pt');
    const baking = assert.rejects(pipe.bake(file), { code: 'ERR_DISPOSED' });
    const queued = assert.rejects(pipe.generate(SMALL), { code: 'ERR_DISPOSED' });
    await pipe.close();
    await Promise.all([baking, queued]);
    assert.equal(existsSync(file), false);
    await assert.rejects(pipe.bake(file), { code: 'ERR_DISPOSED' });
  });

  it('is what `await using` calls', async () => {
    const pipe = await loadTiny();
    await pipe[Symbol.asyncDispose]();
    assert.equal(pipe.closed, true);
  });

  it('lets the process end by itself, also without it', () => {
    const { base, motionModule } = tinyFiles();
    const index = path.resolve('dist/index.js');
    const program = (close: string) => `
      import { AnimateDiff } from ${JSON.stringify(index)};
      const pipe = await AnimateDiff.load(${JSON.stringify({ base, motionModule, device: 'cpu' })});
      console.log((await pipe.generate(${JSON.stringify(SMALL)})).frameCount);
      ${close}`;
    for (const close of [
      'await pipe.close();',
      '',
      'process.exit(0);',
      'void pipe.generate({ prompt: "x", steps: 500 }); process.exit(0);',
    ]) {
      const flags = ['--input-type=module', '-e', program(close)];
      const { status, stdout, stderr } = spawnSync(process.execPath, flags, {
        encoding: 'utf8',
        timeout: 60_000,
      });
      assert.equal(status, 0, stderr);
      assert.equal(stdout, '4\n');
    }
  });
});

describe('worker threads', () => {
  const source = (then: string) => `
    const { workerData, parentPort } = require('node:worker_threads');
    import(workerData.index).then(async ({ AnimateDiff }) => {
      const pipe = await AnimateDiff.load(workerData.files);
      ${then}
    });`;
  const start = (then: string) => {
    const { base, motionModule } = tinyFiles();
    const workerData = {
      index: path.resolve('dist/index.js'),
      files: { base, motionModule, device: 'cpu', dtype: 'float32', threads: 1 },
      SMALL,
      LONG,
    };
    return new Worker(source(then), { eval: true, workerData });
  };
  const message = (worker: Worker) =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });

  it('give the same frames as the main thread', async () => {
    const worker = start(
      'parentPort.postMessage((await pipe.generate(workerData.SMALL)).data); await pipe.close();',
    );
    const frames = await message(worker);
    const pipe = await loadTiny();
    assert.deepEqual(frames, (await pipe.generate(SMALL)).data);
    await pipe.close();
    await worker.terminate();
  });

  it('end quickly when they are terminated in the middle of a call', async () => {
    const worker = start(
      'pipe.generate({ ...workerData.LONG, onProgress: ({ phase }) => phase === "sample" && parentPort.postMessage(0) });',
    );
    await message(worker);
    const begin = performance.now();
    await worker.terminate();
    assert.ok(performance.now() - begin < 5000);
  });
});
