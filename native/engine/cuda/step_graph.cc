#include "step_graph.h"

namespace animatediff::cuda {
namespace {

thread_local bool recording = false;

class WhileRecording {
 public:
  WhileRecording() { recording = true; }
  WhileRecording(const WhileRecording&) = delete;
  WhileRecording& operator=(const WhileRecording&) = delete;
  ~WhileRecording() { recording = false; }
};

void run(void* context) {
  const WhileRecording flag;
  (*static_cast<const std::function<void()>*>(context))();
}

}  // namespace

StepGraph::StepGraph(const GraphFunctions& functions, c10::Device device, const StepGraph* neighbour,
                     const std::function<void()>& body)
    : functions_(functions),
      graph_(functions.capture(device.index(), neighbour == nullptr ? nullptr : neighbour->graph_, run,
                               const_cast<std::function<void()>*>(&body))) {}

StepGraph::~StepGraph() { functions_.free(graph_); }

void StepGraph::replay() { functions_.replay(graph_); }

bool StepGraph::is_recording() { return recording; }

}  // namespace animatediff::cuda
