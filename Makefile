# Everything a person does with this repository. `make run` and `make test` set up what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
DEMO := training/demo/online-retail/online-retail.toml
BUNDLES := build/bundles
# what hnswlib is compiled for: this machine, or for all of a fleet for example x86-64-v3 (make MARCH=x86-64-v3 run)
MARCH ?= native
PROTO := protos/retrieval/v1/retrieval.proto

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run demo serve test smoke bench-sources bench-peers lint format proto check-proto clean docs docs-serve

## run: train on the demo data, publish, serve until interrupted
run: demo serve

## demo: train on the demo data and publish, unless that is done
demo: $(BUNDLES)/online-retail/CURRENT

## serve: serve the published demo bundle
serve: $(VENV)/.run
	@printf '%s\n' '' 'Query it from a second terminal:' '' \
	  '    $(BIN)/shortlist query --country FR --user 12413' \
	  '    $(BIN)/shortlist query --country FR --items 22554,22556,22551' ''
	exec $(BIN)/shortlist serve --config deploy/demo.toml

## test: the whole suite, TEST_WORKERS files of it at a time (0: one after the other, as pytest alone does)
TEST_WORKERS ?= 2
test: $(VENV)/.dev tools
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile

.PHONY: tools install-debian dashboards image image-check

# $(call debian,PROGRAM=PACKAGES …): installs the packages of the programs that are missing; `+` joins packages
debian = @missing=""; for each in $(1); do \
	  command -v $${each%%=*} >/dev/null || missing="$$missing $$(echo $${each\#*=} | tr + ' ')"; done; \
	test -z "$$missing" || $(MAKE) --no-print-directory install-debian PACKAGES="$$missing"

## tools: what the tests take from Debian: h2load, Prometheus with promtool, Chromium, protoc; without h2load its tests are skipped
tools:
	$(call debian,h2load=nghttp2-client promtool=prometheus chromium=chromium chromedriver=chromium-driver+fonts-dejavu-core \
	  protoc=protobuf-compiler protoc-gen-go=protoc-gen-go protoc-gen-go-grpc=protoc-gen-go-grpc \
	  grpc_java_plugin=protobuf-compiler-grpc-java-plugin)

install-debian:
	@echo "installing from Debian:$(PACKAGES)"
	@log=$$(mktemp) && { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 $(PACKAGES); } >$$log 2>&1 && rm $$log \
	|| { tail -3 $$log; echo "could not install$(PACKAGES): run as root on Debian, or install them; tests that need them fail"; }

## dashboards: render deploy/grafana/boards.toml to the JSON that Grafana imports
dashboards: $(VENV)/.dev
	$(BIN)/python deploy/grafana/build.py

## image: build the server's container image with buildah, its base with mmdebstrap; minutes at first
image: $(VENV)/.dev
	$(call debian,buildah=buildah mmdebstrap=mmdebstrap)
	$(BIN)/python deploy/image.py

## image-check: run the image as Kubernetes would, not root and read-only, over the demo bundle; shows content and size
image-check: image demo
	$(call debian,podman=podman+catatonit+conmon runc=runc)
	$(BIN)/python tests/image.py

.PHONY: load dashboard rank recall-drill

# the server that these ask, its inspector, and how much load there is
SERVER ?= 127.0.0.1:50051
INSPECTOR ?= http://127.0.0.1:9465/
RATES ?= 100,200,400
SECONDS ?= 8

## load: a load test of the running demo server, as a table
load: $(VENV)/.dev
	$(BIN)/python -m loadtest $(BUNDLES)/online-retail/$$(cat $(BUNDLES)/online-retail/CURRENT) \
	  --address $(SERVER) --rates $(RATES) --seconds $(SECONDS)

## dashboard: say where the running demo server shows live figures
dashboard: $(VENV)/.run
	@$(BIN)/python -c 'import urllib.request as u; u.urlopen("$(INSPECTOR)", timeout=5)' 2>/dev/null \
	  && echo '$(INSPECTOR)#/live' || { echo 'no inspector at $(INSPECTOR): is `make run` going?'; exit 1; }

## rank: ask the running demo server as a ranking service does
rank: $(VENV)/.run
	$(BIN)/python client/examples/ranking_service.py --shortlist $(SERVER) --once 'country=FR&items=22554,22556&n=10'

## smoke: train, publish, serve, compare answers with numpy, stop; unattended
smoke: $(VENV)/.dev demo
	$(BIN)/python tests/smoke.py deploy/demo.toml

## recall-drill: how long until an index that has become worse is alerted on, by a real Prometheus; three minutes
recall-drill: $(VENV)/.dev demo tools
	$(BIN)/python tests/recall_drill.py

.PHONY: bench bench-quick bench-compare soak

## bench: docs/performance.md made again, half an hour after the bundles are there; parts measured at this revision are kept
bench: $(VENV)/.dev
	$(BIN)/python -m loadtest.bench --prepare
	$(BIN)/python -m loadtest.bench

## bench-quick: the bench's headline in under 50 seconds; the last line is JSON. Publishes a million items at first
bench-quick: $(VENV)/.dev
	$(BIN)/python -m loadtest.bench_quick

## bench-compare: this checkout against REV (make bench-compare REV=HEAD~5), taking turns; ratios
bench-compare: $(VENV)/.dev
	$(BIN)/python -m loadtest.bench_compare $(REV)

## soak: twenty million calls to the demo bundle; about two hours, goes on where it was
soak: $(VENV)/.dev demo
	$(BIN)/python -m loadtest.soak

.PHONY: bench-inspector inspector-screenshots

## bench-inspector: the inspector's page over 200 countries and a million items; a minute
bench-inspector: $(VENV)/.dev
	$(BIN)/python -m loadtest.bench_inspector

## inspector-screenshots: take the pictures of docs/inspector again, of the demo bundle under load
inspector-screenshots: $(VENV)/.dev demo tools
	PYTHONPATH=tests/support $(BIN)/python tests/inspector_screenshots.py

## bench-sources: cost of each source, and of filters and exclusions, over a million synthetic items; ten minutes at first
bench-sources: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m loadtest.bench_sources --plot build/bench/sweep.png

## bench-peers: the same job by Shortlist and by what a team would otherwise build, into docs/peers.md; hours at first
bench-peers: $(VENV)/.dev
	$(BIN)/python -m loadtest.peers --items 100000
	$(BIN)/python -m loadtest.peers --items 1000000 --page docs/peers.md

## lint: ruff, cython-lint, mypy --strict, import direction, generated code
lint: $(VENV)/.dev check-proto
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH=$(CURDIR)/$(BIN):$$PATH $(BIN)/cython-lint --max-line-length 120 server
	$(BIN)/mypy
	$(BIN)/lint-imports

## format: rewrite the code in the project's format
format: $(VENV)/.dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

## proto: regenerate the protobuf code
proto: $(VENV)/.dev
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. $(PROTO)

## check-proto: the committed protobuf code is what the proto generates
check-proto: $(VENV)/.dev
	@out=$$(mktemp -d) && \
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=$$out --pyi_out=$$out --grpc_python_out=$$out $(PROTO) && \
	for file in $$(cd $$out && find . -name '*_pb2*'); do \
	  diff -u $$file $$out/$$file || { echo "$$file is not what $(PROTO) generates: run 'make proto'"; exit 1; }; \
	done && rm -r $$out

## docs: build the documentation site into build/site
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

## docs-serve: show the site while it is written
docs-serve: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean:
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis

COMPILED := hatch_build.py $(wildcard server/*.pyx server/*.pxd)

$(VENV)/.run: pyproject.toml training/pyproject.toml client/pyproject.toml constraints.txt protos/retrieval/v1/retrieval_pb2.py $(COMPILED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; found $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test $(MARCH) = native || HNSWLIB_NO_NATIVE=1 CFLAGS=-march=$(MARCH) CXXFLAGS=-march=$(MARCH) \
	  $(BIN)/pip install --quiet --no-cache-dir --no-binary hnswlib -c constraints.txt hnswlib
	$(BIN)/pip install --quiet -c constraints.txt -e '.[inspector,scann]' -e training -e client
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev,inspector,scann]' -e training -e client
	touch $@

$(BUNDLES)/online-retail/CURRENT: $(DEMO) | $(VENV)/.run
	$(BIN)/shortlist-train run $(DEMO)
