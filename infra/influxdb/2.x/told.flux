// Beside by_day.flux: what was told, done and decided, as it is.
//   influx task create --file told.flux
option task = {name: "driftflow told", every: 6h, offset: 20m}

kept = ["incidents", "actions", "models", "service"]

from(bucket: "driftflow")
    |> range(start: -7d)
    |> filter(fn: (r) => contains(value: r._measurement, set: kept))
    |> to(bucket: "driftflow-years")
